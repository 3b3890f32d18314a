/** What each publisher can and cannot do, side by side. */
import type { PublisherCapabilities } from './publisher.ts';

export type PublisherKind = 'builtin' | 'manual' | 'rfc2136';

export const publisherCapabilities: Readonly<Record<PublisherKind, PublisherCapabilities>> = {
  builtin: { automatic: true, atomicCompareAndSet: true, minimumTtl: 1, maximumValueBytes: 32_000 },
  // Front ends differ; these are the limits that nearly all of them share.
  manual: { automatic: false, atomicCompareAndSet: false, minimumTtl: 60, maximumValueBytes: 4_000 },
  // An update may hold the old value beside the new one, and has 65,535 bytes in all.
  rfc2136: { automatic: true, atomicCompareAndSet: true, minimumTtl: 1, maximumValueBytes: 32_000 },
};

/** Why `value` or `ttl` is beyond a publisher, or null where it is not. */
export function beyondCapabilities(
  capabilities: PublisherCapabilities,
  desired: { readonly value: string; readonly ttl: number } | null,
): string | null {
  if (desired === null) return null;
  const { minimumTtl, maximumValueBytes } = capabilities;
  if (desired.ttl < minimumTtl) return `a TTL of ${desired.ttl} s is below its minimum of ${minimumTtl} s`;
  if (desired.value.length > maximumValueBytes) {
    return `a value of ${desired.value.length} bytes is above its maximum of ${maximumValueBytes} bytes`;
  }
  return null;
}
