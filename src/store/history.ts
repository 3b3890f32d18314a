/**
 * The whole life of every key of a domain, also of those that are gone and of domains that have left: what was public of the key, every
 * entry of the journal that concerns it (who, when, why, by which way, which record), and every change of what was proved.
 */
import type { KeyAlgorithm } from '../lifecycle/types.ts';
import type { JournalEvent, JournalStore } from './journal.ts';
import type { Json } from './json.ts';
import { type ProofRow, proofFromRow } from './proofs.ts';
import { keyFromRow } from './rows.ts';
import type { KeyRow } from './store.ts';
import type { Db, KeyTable, Trx } from './tables.ts';

export interface KeyHistory {
  readonly id: string;
  readonly domain: string;
  readonly selector: string;
  readonly stream: string;
  readonly algorithm: KeyAlgorithm;
  readonly bits: number;
  /** Contents of the record's `p=` tag. */
  readonly publicKey: string;
  /** The key as it is, or as it was last; null where only the journal still knows of it. */
  readonly last: KeyRow | null;
  /** When its domain left; null while it is in care. */
  readonly leftAt: number | null;
  /** Oldest first. */
  readonly events: readonly JournalEvent[];
  /** Oldest first; each stands for `times` proofs of the same verdict. */
  readonly proofs: readonly ProofRow[];
}

const PAGE = 1000;

/** Oldest key first; of one selector where one is given. Nothing for a domain that was never here. */
export async function keyHistory(
  db: Db,
  journal: JournalStore,
  domain: string,
  selector?: string,
): Promise<readonly KeyHistory[]> {
  const events = await eventsOf(journal, domain);
  const keys = [...(await storedKeys(db, domain, selector)), ...toldKeys(events, domain, selector)];
  const once = [...new Map(keys.toReversed().map((key) => [key.id, key])).values()];
  const sorted = once.toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  const mentions = events.map((event) => ({ event, ...mentionedIn(event.details) }));
  return await Promise.all(
    sorted.map(async ({ createdAt: _, ...key }) => ({
      ...key,
      events: mentions
        .filter(({ event, ids, selectors }) => {
          if (ids.has(key.id) || ids.has(`key ${key.id}`)) return true;
          if (!selectors.has(key.selector) || sorted.some((other) => ids.has(other.id))) return false;
          return bearerAt(sorted, key.selector, event.at) === key.id;
        })
        .map(({ event }) => event),
      proofs: await allProofs(db, key.id),
    })),
  );
}

/** Keeps what is public of the domain's keys (of some of them where `ids` names them) before their rows go. */
export async function keepFormerKeys(trx: Trx, domain: string, leftAt: number, ids?: readonly string[]): Promise<void> {
  await trx
    .replaceInto('former_keys')
    .columns([...COLUMNS, 'left_at'])
    .expression((eb) => {
      const rows = eb
        .selectFrom('keys')
        .select([...COLUMNS, eb.val(leftAt).as('left_at')])
        .where('domain', '=', domain);
      return ids === undefined ? rows : rows.where('id', 'in', ids);
    })
    .execute();
}

const COLUMNS = [
  'domain',
  'id',
  'ord',
  'stream',
  'selector',
  'algorithm',
  'bits',
  'public_key',
  'state',
  'ownership',
  'imported',
  'created_at',
  'published_at',
  'activated_at',
  'retired_at',
  'revoked_at',
  'removed_at',
  'compromised_at',
  'rejected_at',
  'private_key_destroyed_at',
  'facts',
] as const satisfies ReadonlyArray<keyof KeyTable>;

type Known = Omit<KeyHistory, 'events' | 'proofs'> & { readonly createdAt: number };

/** Keys in care after those that left, so that of two rows of one key the later counts. */
async function storedKeys(db: Db, domain: string, selector: string | undefined): Promise<readonly Known[]> {
  const of = (rows: ReadonlyArray<KeyTable & { left_at?: number }>): Known[] =>
    rows.filter((row) => selector === undefined || row.selector === selector).map(knownFrom);
  const left = await db.selectFrom('former_keys').selectAll().where('domain', '=', domain).execute();
  const here = await db.selectFrom('keys').selectAll().where('domain', '=', domain).execute();
  return [...of(here), ...of(left.toSorted((a, b) => b.left_at - a.left_at))];
}

function knownFrom(row: KeyTable & { left_at?: number }): Known {
  const { id, selector, stream, algorithm, bits, publicKey, createdAt, ...rest } = keyFromRow(row);
  const { domain } = row;
  const last: KeyRow = { id, domain, selector, stream, algorithm, bits, publicKey, createdAt, ...rest };
  return { id, domain, selector, stream, algorithm, bits, publicKey, createdAt, last, leftAt: row.left_at ?? null };
}

/** Keys that went before their rows were kept: the journal told of them when they were made. */
function toldKeys(events: readonly JournalEvent[], domain: string, selector: string | undefined): readonly Known[] {
  return events.flatMap(({ kind, details, at }): Known[] => {
    if ((kind !== 'key-created' && kind !== 'key-imported') || details === null || typeof details !== 'object')
      return [];
    const told = details as { readonly [name: string]: Json };
    const text = (name: string): string => (typeof told[name] === 'string' ? told[name] : '');
    if (text('key') === '' || (selector !== undefined && text('selector') !== selector)) return [];
    const algorithm = text('algorithm') === 'ed25519' ? 'ed25519' : 'rsa';
    const named = { id: text('key'), domain, selector: text('selector'), stream: text('stream'), algorithm } as const;
    const key = { ...named, bits: Number(told.bits), publicKey: text('publicKey') };
    return [{ ...key, createdAt: at, last: null, leftAt: null }];
  });
}

async function eventsOf(journal: JournalStore, domain: string): Promise<readonly JournalEvent[]> {
  const events: JournalEvent[] = [];
  for (let after: string | null = null; ; ) {
    const page = await journal.list({ domain, order: 'oldest' }, { limit: PAGE, after });
    events.push(...page.items);
    after = page.next;
    if (after === null) return events;
  }
}

/** All texts of an entry, among which are the ids of the keys that it concerns; and the selectors that it names. */
function mentionedIn(details: Json): { readonly ids: ReadonlySet<string>; readonly selectors: ReadonlySet<string> } {
  const ids = new Set<string>();
  const selectors = new Set<string>();
  const visit = (value: Json, name: string): void => {
    if (typeof value === 'string') {
      ids.add(value);
      if (name === 'selector' || name === 'enter' || name === 'leave') selectors.add(value);
    } else if (Array.isArray(value)) for (const each of value as readonly Json[]) visit(each, name);
    else if (typeof value === 'object' && value !== null)
      for (const [inner, each] of Object.entries(value)) visit(each, inner);
  };
  visit(details, '');
  return { ids, selectors };
}

/** Whose a selector was at a time: slots give theirs to one key after the other. */
function bearerAt(keys: readonly Known[], selector: string, at: number): string | undefined {
  const bearers = keys.filter((key) => key.selector === selector);
  return (bearers.findLast((key) => key.createdAt <= at) ?? bearers[0])?.id;
}

async function allProofs(db: Db, keyId: string): Promise<readonly ProofRow[]> {
  const rows = await db.selectFrom('proof_runs').selectAll().where('key_id', '=', keyId).orderBy('seq').execute();
  return rows.map(proofFromRow);
}
