/** Every signer over all domains: how many it signs, and where it is not as it should be. */
import { signerKinds } from '../signers/kinds.ts';
import type { Store } from '../store/store.ts';
import type { Config } from './config/schema.ts';
import { bindingsOf } from './signers.ts';

export interface SignerTotals {
  readonly id: string;
  /** Null for one that the domains know and this configuration does not. */
  readonly kind: string | null;
  readonly reach: string | null;
  readonly domains: number;
  /** Has not taken up the present keyring. */
  readonly behind: number;
  readonly drifted: number;
  readonly setAside: number;
  /** The first domains that are not as they should be, by name. */
  readonly examples: ReadonlyArray<{ readonly name: string; readonly what: string }>;
}

/** Domains read at a time, and examples kept. */
const stretch = 500;
const shown = 20;

/** Reads every mail domain, a page at a time: memory stays that of one page. */
export async function signerStatus(store: Store, config: Config): Promise<readonly SignerTotals[]> {
  type Counted = { -readonly [K in keyof SignerTotals]: SignerTotals[K] } & {
    examples: Array<{ name: string; what: string }>;
  };
  const totals = new Map<string, Counted>();
  const at = (id: string): Counted => {
    const known = totals.get(id);
    if (known !== undefined) return known;
    const made: Counted = {
      id,
      ...kindOf(id, config),
      domains: 0,
      behind: 0,
      drifted: 0,
      setAside: 0,
      examples: [],
    };
    totals.set(id, made);
    return made;
  };
  for (const { signerId } of bindingsOf(config)) at(signerId);
  let after: string | null = null;
  do {
    const page: Awaited<ReturnType<Store['listDomains']>> = await store.listDomains(
      { kind: 'mail' },
      { limit: stretch, after },
    );
    const domains = await store.snapshots(page.items.map(({ name }) => name));
    for (const [name, { snapshot }] of domains) {
      for (const signer of snapshot.signers) {
        const total = at(signer.id);
        const isBehind = signer.setAsideAt === null && signer.acknowledgedGeneration < snapshot.domain.generation;
        total.domains++;
        if (isBehind) total.behind++;
        if (signer.drift !== undefined) total.drifted++;
        if (signer.setAsideAt !== null) total.setAside++;
        const what = [
          ...(signer.drift === undefined ? [] : ['drifted']),
          ...(isBehind ? [`has ${signer.acknowledgedGeneration} of ${snapshot.domain.generation}`] : []),
          ...(signer.setAsideAt === null ? [] : ['set aside']),
        ].join(', ');
        if (what !== '' && total.examples.length < shown) total.examples.push({ name, what });
      }
    }
    after = page.next;
  } while (after !== null);
  return [...totals.values()];
}

function kindOf(id: string, { signers, instance, roles }: Config): Pick<SignerTotals, 'kind' | 'reach'> {
  for (const settings of signers) {
    const kind = signerKinds.find((each) => each.kind === settings.kind);
    if (kind !== undefined && (id === settings.name || id.startsWith(`${settings.name}@`)))
      return { kind: kind.kind, reach: kind.reach };
  }
  return roles.milter && id === instance ? { kind: 'milter', reach: 'instance' } : { kind: null, reach: null };
}
