/** The inventory of selectors that others sign with: found in DNS, told from our own, and kept with the domain as keys that are watched. */

import type { Prover } from '../dns/lookup/prove.ts';
import { type Discovery, discoverSelectors, type FoundSelector } from '../dns/lookup/selectors.ts';
import type { KeyView } from '../lifecycle/types.ts';
import type { Operator } from './operations.ts';
import { watchExternal } from './watch-external.ts';

export interface InventoryItem {
  readonly selector: string;
  /** Whose it is, as far as DNS tells; a question mark says that it is a guess by the selector's name. */
  readonly service: string | null;
  readonly owner: 'ours' | 'external' | 'unknown';
  readonly status: FoundSelector['status'];
  readonly algorithm: 'rsa' | 'ed25519' | null;
  readonly bits: number | null;
  /** `p=` without white space; null where it is withdrawn or unreadable. */
  readonly publicKey: string | null;
  /** RSA below 2048 bits. */
  readonly weak: boolean;
  /** `t=y`: receivers may ignore it. */
  readonly testing: boolean;
  readonly revoked: boolean;
  /** Where a CNAME leads. */
  readonly target: string | null;
  /** When the selector was first seen here, and when its key last changed (epoch milliseconds); null while it is not kept. */
  readonly firstSeen: number | null;
  readonly lastChange: number | null;
  /** Against what is kept: its owner has put another key there. */
  readonly replaced: boolean;
  /** What was done about it: `null` where nothing was asked. */
  readonly kept: 'watched' | 'known' | 'replaced' | 'refused' | null;
  readonly notes: readonly string[];
}

export interface Inventory {
  readonly domain: string;
  readonly inCare: boolean;
  readonly items: readonly InventoryItem[];
  readonly asked: number;
  readonly wildcard: boolean;
  readonly trouble: string | null;
}

export interface InventoryOptions {
  readonly operator: Operator;
  readonly prover: Prover;
  /** Further selectors to ask for. */
  readonly also: readonly string[];
  /** Keep what is found: keys of others are watched from then on. Of domains in care only. */
  readonly save: boolean;
  readonly signal?: AbortSignal;
}

/** Never throws for what DNS does. */
export async function takeInventory(name: string, options: InventoryOptions): Promise<Inventory> {
  const { operator, prover, also, save, signal } = options;
  const stored = await operator.store.snapshot(name);
  // Keys of helper domains have their records here.
  const shadows = await operator.store.snapshots(stored?.snapshot.domain.shadows ?? []);
  const keys = [...(stored?.snapshot.keys ?? []), ...[...shadows.values()].flatMap(({ snapshot }) => snapshot.keys)];
  const known = keys.filter(({ state }) => state !== 'removed').map(({ selector }) => selector);
  const discovery: Discovery = await discoverSelectors(prover, name, {
    also: [...also, ...known],
    ...(signal === undefined ? {} : { signal }),
  });
  const items: InventoryItem[] = [];
  for (const found of discovery.found) {
    const item = itemOf(found, keys);
    items.push(save && stored !== null ? await keep(item, name, keys, operator) : item);
  }
  const { asked, wildcard, trouble } = discovery;
  return { domain: name, inCare: stored !== null, items, asked, wildcard, trouble };
}

function itemOf(found: FoundSelector, keys: readonly KeyView[]): InventoryItem {
  const { selector, parsed, status, algorithm, bits, cnames, service } = found;
  const history = keys.filter((key) => key.selector === selector);
  const latest = history.findLast(({ state }) => state !== 'removed');
  const publicKey = parsed?.kind === 'key' ? parsed.record.publicKeyData : null;
  return {
    ...seenSince(history),
    selector,
    service: latest?.ownership === 'ours' ? null : service,
    owner: ownerOf(latest),
    status,
    algorithm,
    bits,
    publicKey,
    weak: algorithm === 'rsa' && bits !== null && bits < 2048,
    testing: parsed !== null && parsed.kind !== 'invalid' && parsed.notes.some(({ kind }) => kind === 'testing'),
    revoked: status === 'revoked',
    target: cnames.at(-1) ?? null,
    replaced: latest?.ownership === 'external' && publicKey !== null && latest.publicKey !== publicKey,
    kept: null,
    notes: [...found.problems, ...found.notes],
  };
}

function ownerOf(key: KeyView | undefined): InventoryItem['owner'] {
  return key === undefined ? 'unknown' : key.ownership;
}

async function keep(
  item: InventoryItem,
  domain: string,
  keys: readonly KeyView[],
  operator: Operator,
): Promise<InventoryItem> {
  const { selector, publicKey, algorithm, bits, owner } = item;
  if (owner === 'ours' || publicKey === null || algorithm === null || bits === null) return item;
  const before = keys.findLast((key) => key.selector === selector && key.ownership === 'external');
  const result = await watchExternal(operator, domain, {
    selector,
    stream: before?.stream ?? streamOf(item.service),
    publicKey,
    algorithm,
    bits,
  });
  if (result.kind !== 'done') {
    const why = result.kind === 'refused' ? result.why : 'the domain is gone';
    return { ...item, kept: 'refused', notes: [...item.notes, `It is not watched: ${why}.`] };
  }
  const times = seenSince(result.snapshot.keys.filter((key) => key.selector === selector));
  return { ...item, ...times, owner: 'external', replaced: false, kept: result.what };
}

/** When a selector of somebody else was first seen, and when its key last changed. */
function seenSince(history: readonly KeyView[]): Pick<InventoryItem, 'firstSeen' | 'lastChange'> {
  const times = history.filter(({ ownership }) => ownership === 'external').map(({ createdAt }) => createdAt);
  return {
    firstSeen: times.length === 0 ? null : Math.min(...times),
    lastChange: times.length === 0 ? null : Math.max(...times),
  };
}

/** The service's name as a stream's: `external` where it is only guessed, or not known. */
export function streamOf(service: string | null): string {
  if (service === null || service.endsWith('?')) return 'external';
  const slug = service
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  return slug.slice(0, 32) || 'external';
}
