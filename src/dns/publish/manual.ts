/** A person writes the record; we say which, and look whether it is there. */
import { publisherCapabilities } from './capabilities.ts';
import { recordInstructions } from './instructions.ts';
import type { Publisher } from './publisher.ts';

/**
 * Always answers `waiting`: whether the record stands is told by proof alone, and proof lets the key go on by itself.
 *
 * @example
 * const publisher = createManualPublisher('by-hand');
 * const result = await publisher.apply({ name: 's1._domainkey.example.com', desired: { value: 'v=DKIM1; p=', ttl: 300 }, ours: [] });
 * // result.instructions.zoneFile: s1._domainkey.example.com. 300 IN TXT "v=DKIM1; p="
 */
export function createManualPublisher(name = 'manual'): Publisher {
  return {
    name,
    capabilities: publisherCapabilities.manual,
    apply: async (change) => ({ kind: 'waiting', instructions: recordInstructions(change) }),
  };
}
