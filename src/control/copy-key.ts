/**
 * Copies key pairs: from a shadow to its main domain (where the record is one and the same and changes hands), back to a shadow (which
 * then only holds the pair), and to any other domain or stream (where it gets a record of its own, which is proved before it signs).
 * Each target is changed by one commit; what a crash leaves half done between two domains harms nothing, and a repetition completes it.
 */
import { randomUUID } from 'node:crypto';
import type { Refusal } from '../lifecycle/apply.ts';
import { isPipeline, isSpoiled, keyOfSelector } from '../lifecycle/facts.ts';
import type { KeyView, KnownRecord, Outcome, Snapshot } from '../lifecycle/types.ts';
import type { NewSecret } from '../store/store.ts';
import { type OperationResult, type Operator, operate } from './operations.ts';
import { reserveSelector } from './shadows.ts';

export interface CopyTarget {
  readonly domain: string;
  readonly stream: string;
  /** Its selector there; left out: the same. */
  readonly selector?: string;
  /** The stream is to sign with it. */
  readonly use: boolean;
}

export type CopyResult =
  | (Extract<OperationResult, { kind: 'done' }> & {
      /** `there`: it had been copied before. */
      readonly what: 'copied' | 'there';
      readonly selector: string;
      /** The record is the source's own: nothing had to be published. */
      readonly sameRecord: boolean;
    })
  | { readonly kind: 'refused'; readonly why: Refusal; readonly at: string }
  | { readonly kind: 'unknown-domain'; readonly at: string }
  /** The private half lies elsewhere, or is destroyed. */
  | { readonly kind: 'no-private-half' };

/**
 * The keys that are meant by a domain and perhaps a selector. Without one: what a shadow holds ready for its main domain, or what a mail
 * domain's stream signs with; the newest of each algorithm. Empty where there is nothing to copy.
 */
export function keysToCopy(
  { domain, keys }: Snapshot,
  selector: string | null,
  stream = 'default',
): readonly KeyView[] {
  if (selector !== null) {
    const key = keyOfSelector({ domain, keys } as Snapshot, selector);
    return key === undefined || !isFit(key) ? [] : [key];
  }
  const fit = keys.filter(
    (key) =>
      isFit(key) &&
      (domain.kind === 'shadow' ? key.state === 'standby' : key.state === 'active' && key.stream === stream),
  );
  // What was given away already is copied only where there is nothing else.
  const free = fit.filter((key) => key.handedTo === undefined);
  const newest = new Map<string, KeyView>();
  for (const key of free.length > 0 ? free : fit) newest.set(key.algorithm, key);
  return [...newest.values()];
}

function isFit(key: KeyView): boolean {
  return key.ownership === 'ours' && !isSpoiled(key) && key.state !== 'revoked' && key.state !== 'removed';
}

/** Copies one key to one target. `source` is the domain that has it, by name. */
export async function copyKey(
  operator: Operator,
  source: string,
  keyId: string,
  target: CopyTarget,
): Promise<CopyResult> {
  const stored = await operator.store.snapshot(source);
  const key = stored?.snapshot.keys.find(({ id }) => id === keyId);
  if (stored === null || key === undefined) return { kind: 'unknown-domain', at: source };
  const there = await operator.store.snapshot(target.domain);
  if (there === null) return { kind: 'unknown-domain', at: target.domain };
  const selector = target.selector ?? key.selector;
  const from = { domain: stored.snapshot.domain, key, place: `${source}/${key.selector}` };
  if (source === target.domain && selector === key.selector)
    return { kind: 'refused', why: 'selector-taken', at: source };
  const pkcs8 = await operator.store.loadPrivateKey(key.id);
  if (pkcs8 === null) return { kind: 'no-private-half' };
  const sameSelector = selector === key.selector;
  const toMain = from.domain.shadowOf === target.domain && sameSelector;
  const toShadow = there.snapshot.domain.shadowOf === source && sameSelector;
  const plan = { operator, from, target, selector, pkcs8 };
  // What the target refuses must not have been given away: nobody could take it back.
  const how = toMain
    ? { kept: true, ...knownOf(key) }
    : toShadow
      ? { kept: true, handedTo: source }
      : { kept: !target.use };
  const tried = await add({ ...plan, operator: { ...operator, dryRun: true } }, how, toMain || toShadow);
  if (tried.kind !== 'done') return tried;
  // The source learns of it first: what becomes known of the pair is then never kept from whoever has it.
  const before = await prepareSource(operator, from, target.domain, selector, { toMain, toShadow });
  if (before.kind !== 'done') return { ...before, at: source };
  if (toMain) {
    const now = before.snapshot.keys.find(({ id }) => id === keyId) ?? key;
    return add(plan, { kept: true, ...knownOf(now) }, true);
  }
  if (toShadow) return add(plan, { kept: true, handedTo: source, ...knownOf(key) }, true);
  const reserved = await reserveSelector(operator, there.snapshot.domain, selector);
  if (reserved !== null) return { ...reserved, at: target.domain };
  return add(plan, { kept: !target.use }, false);
}

interface Source {
  readonly domain: Snapshot['domain'];
  readonly key: KeyView;
  /** `domain/selector` */
  readonly place: string;
}

/** A shadow gives the record away; a main domain keeps a key that a shadow holds; both remember where the pair is. */
async function prepareSource(
  operator: Operator,
  { domain, key }: Source,
  to: string,
  selector: string,
  { toMain, toShadow }: { readonly toMain: boolean; readonly toShadow: boolean },
): Promise<Exclude<OperationResult, { kind: 'unknown-domain' }> | { readonly kind: 'unknown-domain' }> {
  return operate(operator, domain.name, ({ snapshot }, at) => {
    const now = snapshot.keys.find(({ id }) => id === key.id);
    if (now === undefined) return [];
    const place = `${to}/${selector}`;
    const outcomes: Outcome[] = [];
    if (toMain && now.handedTo !== to) outcomes.push({ kind: 'key-handed', at, keyId: now.id, to });
    if (toShadow && now.kept !== true) outcomes.push({ kind: 'key-kept', at, keyId: now.id });
    if (now.copies?.some.includes(place) !== true)
      outcomes.push({ kind: 'copies-made', at, keyId: now.id, to: [place] });
    return outcomes;
  });
}

/** What is known of the record of a key that has not signed yet; one that signs is proved anew where it goes. */
function knownOf(key: KeyView): { readonly known?: KnownRecord } {
  if (!isPipeline(key)) return {};
  const { publishedAt, written, proof, provedSince, waited, retry, state } = key;
  return { known: { publishedAt, written, proof, provedSince, waited, retry, state: state as KnownRecord['state'] } };
}

async function add(
  {
    operator,
    from: { key, place },
    target,
    selector,
    pkcs8,
  }: {
    readonly operator: Operator;
    readonly from: Source;
    readonly target: CopyTarget;
    readonly selector: string;
    readonly pkcs8: Uint8Array;
  },
  how: Pick<Extract<Outcome, { kind: 'key-copied' }>, 'kept' | 'known' | 'handedTo'>,
  sameRecord: boolean,
): Promise<CopyResult> {
  const { stream, use, domain } = target;
  const { algorithm, bits, publicKey } = key;
  const id = randomUUID();
  let what: 'copied' | 'there' = 'copied';
  const outcomes = ({ snapshot }: { snapshot: Snapshot }, at: number): readonly Outcome[] => {
    const copy = snapshot.keys.find(
      (other) => other.selector === selector && other.state !== 'removed' && other.publicKey === publicKey,
    );
    what = copy === undefined ? 'copied' : 'there';
    const made: Outcome[] =
      copy === undefined
        ? [{ kind: 'key-copied', at, key: { id, stream, selector, algorithm, bits, publicKey }, from: place, ...how }]
        : [];
    const isAsked = use && copy?.wanted === undefined && !(copy?.state === 'active' && isAlone(snapshot, copy));
    return isAsked ? [...made, { kind: 'key-wanted', at, keyId: copy?.id ?? id }] : made;
  };
  const secret: NewSecret = { keyId: id, from: 'der', pkcs8 };
  const stored = await operator.store.snapshot(domain);
  const isThere = stored !== null && outcomes(stored, 0).every(({ kind }) => kind !== 'key-copied');
  const result = await operate(operator, domain, outcomes, isThere ? [] : [secret]);
  if (result.kind === 'done') return { ...result, what, selector, sameRecord };
  return { ...result, at: domain };
}

/** No other key of its algorithm signs its stream. */
function isAlone(snapshot: Snapshot, key: KeyView): boolean {
  return snapshot.keys.every(
    (other) =>
      other.id === key.id ||
      other.state !== 'active' ||
      other.stream !== key.stream ||
      other.algorithm !== key.algorithm,
  );
}
