/** What `keyturn key approve` does at the moment when it is given. */
import { findStream, policyOf } from '../lifecycle/facts.ts';
import type { Policy } from '../lifecycle/policy.ts';
import type { Snapshot } from '../lifecycle/types.ts';

export type Approval =
  | { readonly kind: 'awaited' }
  /** No rotation is due; the approval covers the keys that sign now, and so the rotation that replaces them. */
  | { readonly kind: 'early' }
  | { readonly kind: 'useless'; readonly why: string };

/** What an approval given now would do. An unknown stream is left to the lifecycle to refuse. */
export async function approvalOf(
  snapshot: Snapshot,
  domainPolicy: Policy,
  name: string,
  now: number,
): Promise<Approval> {
  const { plan } = await import('../lifecycle/plan.ts');
  const stream = findStream(snapshot, name);
  if (stream === undefined) return { kind: 'early' };
  if (policyOf(stream, domainPolicy).approval !== 'required')
    return {
      kind: 'useless',
      why: `the policy of stream ${name} asks for no approval: rotations begin by themselves ("keyturn policy set --domain ${snapshot.domain.name} --set approval=required" would change that)`,
    };
  if (!snapshot.keys.some((key) => key.stream === name && key.state === 'active'))
    return { kind: 'useless', why: `stream ${name} signs with no key yet, and its first keys need no approval` };
  const awaited = plan(snapshot, domainPolicy, now).conditions.some(
    ({ reason, subject }) => reason === 'approval-awaited' && subject.kind === 'stream' && subject.id === name,
  );
  return { kind: awaited ? 'awaited' : 'early' };
}

/** When new keys of the stream begin to sign, if all goes well; null where that cannot be said. */
export async function entryOf(
  { snapshot, policy: domainPolicy }: { readonly snapshot: Snapshot; readonly policy: Policy },
  stream: string,
  now: number,
): Promise<number | null> {
  const { timeline } = await import('../lifecycle/timeline.ts');
  const { rotateEvery, jitter, lead } = policyOf(findStream(snapshot, stream), domainPolicy);
  const events = timeline(snapshot, domainPolicy, now, now + rotateEvery * (1 + jitter) + lead);
  return events.find((event) => event.stream === stream && event.state === 'active')?.at ?? null;
}
