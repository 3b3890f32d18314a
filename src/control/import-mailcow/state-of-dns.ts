/** What DNS says of the records of keys that were found, before anything is taken over. */
import type { Prover } from '../../dns/lookup/prove.ts';
import type { Verdict } from '../../lifecycle/types.ts';
import { recordName, recordText } from '../records.ts';
import type { FoundDomain, FoundKey } from './survey.ts';

/** `not-asked`: on request, or because nobody needs to know. */
export type RecordState = Verdict | 'not-asked';

export interface CheckedKey extends FoundKey {
  /** Where its record stands, or should: at the main domain for a shadow's. */
  readonly recordName: string;
  readonly record: RecordState;
}

export interface CheckedDomain extends Omit<FoundDomain, 'keys' | 'perhapsShadowOf'> {
  readonly keys: readonly CheckedKey[];
  /** It holds the key of a domain above it, and DNS could not say whether it signs mail of its own. */
  readonly undecided: string | null;
}

const together = 64;

/** `prover` null: DNS is not asked. Never throws for what servers do. */
export async function checkRecords(
  domains: readonly FoundDomain[],
  prover: Prover | null,
  progress: (done: number, of: number) => void = () => undefined,
): Promise<CheckedDomain[]> {
  const checked = new Array<CheckedDomain>(domains.length);
  let [next, done] = [0, 0];
  const worker = async (): Promise<void> => {
    for (let index = next++; index < domains.length; index = next++) {
      const domain = domains[index];
      if (domain === undefined) return;
      checked[index] = await checkDomain(domain, prover);
      progress(++done, domains.length);
    }
  };
  await Promise.all(Array.from({ length: together }, worker));
  return checked;
}

async function checkDomain(domain: FoundDomain, prover: Prover | null): Promise<CheckedDomain> {
  const { perhapsShadowOf, ...found } = domain;
  if (perhapsShadowOf === null)
    return { ...found, undecided: null, keys: await checkKeys(domain, found.shadowOf, prover) };
  // The same key as the domain above: a helper domain publishes nothing of its own.
  const own = await checkKeys(domain, null, prover);
  const active = own.find(({ role }) => role === 'active');
  if (active?.record === 'missing') {
    const above = await checkKeys(domain, perhapsShadowOf, prover);
    if (above.find(({ role }) => role === 'active')?.record === 'seen')
      return { ...found, kind: 'shadow', shadowOf: perhapsShadowOf, undecided: null, keys: above };
  }
  return { ...found, undecided: active?.record === 'seen' ? null : perhapsShadowOf, keys: own };
}

function checkKeys({ name, keys }: FoundDomain, shadowOf: string | null, prover: Prover | null): Promise<CheckedKey[]> {
  return Promise.all(
    keys.map(async (key) => {
      const at = recordName(key.selector, shadowOf ?? name);
      const value = recordText(key, 'key') ?? '';
      const proof = prover === null ? null : await prover.prove(at, { kind: 'key', value, anyForm: true });
      return { ...key, recordName: at, record: proof === null ? 'not-asked' : proof.verdict };
    }),
  );
}
