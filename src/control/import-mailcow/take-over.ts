/** Takes over what was found, a domain at a time, each in one commit. What is there already stays as it is: a repetition goes on where it was. */
import { randomUUID } from 'node:crypto';
import { isPipeline } from '../../lifecycle/facts.ts';
import type { Policy } from '../../lifecycle/policy.ts';
import type { KeyView, Outcome, Snapshot } from '../../lifecycle/types.ts';
import type { NewSecret } from '../../store/store.ts';
import { type Binding, boundStreams } from '../bindings.ts';
import { copyKey } from '../copy-key.ts';
import { plain } from '../events.ts';
import { addDomain, mark, type Operator, operate } from '../operations.ts';
import { addShadow, reserveSelector } from '../shadows.ts';
import type { CheckedDomain, CheckedKey } from './state-of-dns.ts';

export interface TakeOverOptions {
  readonly operator: Operator;
  readonly policy: string;
  readonly bindings: readonly Binding[];
  /** Signers that make keys themselves and keep the private halves: a key without one may be taken over where no other signs the domain. */
  readonly keepers: ReadonlySet<string>;
  readonly progress?: (done: number, of: number) => void;
}

export type Action =
  /** With its active key. */
  | 'added'
  /** It was in care; keys were added to it. */
  | 'completed'
  | 'there'
  | 'skipped'
  | 'failed';

export interface Taken {
  readonly domain: CheckedDomain;
  readonly action: Action;
  /** Selectors that are taken over, or were before. */
  readonly keys: readonly string[];
  /** Why not, or what to know, in words without key material. */
  readonly notes: readonly string[];
}

/** A policy for helper domains: their keys are mailcow's own, and no others are made beside them. */
export const shadowPolicy = 'mailcow-shadows';

const together = 8;

/** Main domains first, for shadows belong to them. One domain's failure does not stop the others. With `operator.dryRun` nothing is written. */
export async function takeOver(domains: readonly CheckedDomain[], options: TakeOverOptions): Promise<Taken[]> {
  const { operator, progress = () => undefined } = options;
  const policy = await operator.store.policy(options.policy);
  if (policy === null) throw new Error(`there is no policy "${options.policy}"`);
  const shadows = domains.filter(({ kind }) => kind === 'shadow');
  if (shadows.length > 0) await ensureShadowPolicy(operator, policy);
  const taken: Taken[] = [];
  const [mains, count] = [domains.filter(({ kind }) => kind === 'mail'), domains.length];
  const within = new Set(mains.filter(({ undecided }) => undecided === null).map(({ name }) => name));
  for (const part of [mains, shadows]) {
    const queue = [...part];
    const worker = async (): Promise<void> => {
      for (let domain = queue.shift(); domain !== undefined; domain = queue.shift()) {
        taken.push(await takeOne(domain, policy, within, options));
        progress(taken.length, count);
      }
    };
    await Promise.all(Array.from({ length: together }, worker));
  }
  return taken.sort((a, b) => (a.domain.name < b.domain.name ? -1 : 1));
}

async function takeOne(
  domain: CheckedDomain,
  policy: Policy,
  mains: ReadonlySet<string>,
  options: TakeOverOptions,
): Promise<Taken> {
  try {
    return domain.kind === 'shadow'
      ? await takeShadow(domain, mains, options)
      : await takeMail(domain, policy, options);
  } catch (error) {
    return { domain, action: 'failed', keys: [], notes: [error instanceof Error ? error.message : String(error)] };
  }
}

async function takeMail(domain: CheckedDomain, policy: Policy, options: TakeOverOptions): Promise<Taken> {
  const { name, undecided } = domain;
  const notes = [...domain.problems];
  const skipped = (why: string): Taken => ({ domain, action: 'skipped', keys: [], notes: [...notes, why] });
  if (undecided !== null)
    return skipped(
      `It holds the key of ${undecided}, and no record of its own was seen: say whether it is a helper domain (--shadow-pattern ${name}) or has mail of its own (--mail ${name}).`,
    );
  const active = domain.keys.find(({ role }) => role === 'active');
  if (active === undefined) return skipped('Nothing signs it.');
  if (active.pkcs8 === null && !isKept(name, options))
    return skipped(
      `mailcow does not show the private half of ${active.selector}, so that only a signer of kind mailcow-api can use it: let no other sign ${name}, or import from mailcow's Redis.`,
    );
  const wanted = domain.keys.filter((key) => key.role === 'active' || key.record === 'seen');
  for (const key of domain.keys) {
    if (!wanted.includes(key)) notes.push(blindNote(key));
    else if (key.role === 'active' && key.record !== 'seen' && key.record !== 'not-asked')
      notes.push(
        `DNS does not show the record of ${key.selector} (${key.record}): receivers cannot verify its mail now.`,
      );
  }
  if (
    !policy.keys.some(
      ({ algorithm, bits, count }) => count > 0 && algorithm === active.algorithm && bits === active.bits,
    )
  )
    notes.push(
      `${active.selector} has ${active.bits} bits, which policy ${options.policy} does not ask for: it is replaced as soon as a successor is ready.`,
    );
  return add(domain, wanted, notes, options, (also, secrets) =>
    addDomain(options.operator, {
      name,
      kind: 'mail',
      policy: options.policy,
      bindings: options.bindings,
      also,
      secrets,
    }),
  );
}

function blindNote({ selector, record }: CheckedKey): string {
  return record === 'not-asked'
    ? `The blind key ${selector} is left where it is: whether its record stands was not asked.`
    : `The blind key ${selector} is left where it is: its record does not stand (${record}).`;
}

/** Every signer of the domain keeps its private halves to itself, and there is one. */
function isKept(name: string, { bindings, keepers }: TakeOverOptions): boolean {
  const bound = bindings.filter((binding) => boundStreams(binding, name, ['default']).length > 0);
  return bound.length > 0 && bound.every(({ signerId }) => keepers.has(signerId));
}

async function takeShadow(domain: CheckedDomain, mains: ReadonlySet<string>, options: TakeOverOptions): Promise<Taken> {
  const { operator } = options;
  const { name, shadowOf } = domain;
  const main = shadowOf === null ? null : await operator.store.snapshot(shadowOf);
  const notes = [...domain.problems];
  if (shadowOf === null || (main === null && !(operator.dryRun === true && mains.has(shadowOf))))
    return {
      domain,
      action: 'skipped',
      keys: [],
      notes: [...notes, shadowOf === null ? 'It belongs to no domain here.' : `Its domain ${shadowOf} is not in care.`],
    };
  const usable = domain.keys.filter((key) => key.role === 'active' || key.record === 'seen');
  for (const key of domain.keys) if (!usable.includes(key)) notes.push(blindNote(key));
  const twins = usable.filter((key) => twinOf(main?.snapshot, key) !== undefined);
  const own = usable.filter((key) => !twins.includes(key) && key.pkcs8 !== null);
  for (const key of usable)
    if (!twins.includes(key) && key.pkcs8 === null)
      notes.push(
        `mailcow does not show the private half of ${key.selector}: it can be used there, and not be copied from here.`,
      );
  // Of a domain that is not added yet, nothing can be asked.
  if (main === null) return { domain, action: 'added', keys: usable.map(({ selector }) => selector), notes };
  const taken = await add(domain, own, notes, options, (also, secrets) =>
    addShadow(operator, {
      name,
      of: shadowOf,
      policy: operator.dryRun === true ? options.policy : shadowPolicy,
      also,
      secrets,
      selectors: own.map(({ selector }) => selector),
    }),
  );
  if (taken.action === 'failed') return taken;
  const copied: string[] = [];
  for (const key of twins) {
    const twin = twinOf(main?.snapshot, key);
    if (twin === undefined || operator.dryRun === true) {
      copied.push(key.selector);
      continue;
    }
    // A key that is kept for a shadow waits to be asked for: what signs in mailcow is, so that it goes on signing.
    if (isPipeline(twin) && twin.kept === undefined && twin.wanted === undefined)
      await mark(operator, shadowOf, { kind: 'key-wanted', keyId: twin.id });
    const to = { domain: name, stream: 'default', use: false };
    const result = await copyKey(operator, shadowOf, twin.id, to);
    if (result.kind === 'done') copied.push(key.selector);
    else notes.push(`The copy of ${key.selector} was not noted: ${result.kind}.`);
  }
  return { ...taken, keys: [...taken.keys, ...copied], notes };
}

/** The same key of the main domain. */
function twinOf(main: Snapshot | undefined, { selector, publicKey }: CheckedKey): KeyView | undefined {
  return main?.keys.find((key) => key.selector === selector && key.publicKey === publicKey && key.state !== 'removed');
}

type Adder = (
  also: (now: number) => readonly Outcome[],
  secrets: readonly NewSecret[],
) => Promise<{ readonly kind: string }>;

/** Adds the domain with its keys, or to a domain that is in care the keys that it lacks. */
async function add(
  domain: CheckedDomain,
  wanted: readonly CheckedKey[],
  notes: string[],
  { operator }: TakeOverOptions,
  adder: Adder,
): Promise<Taken> {
  const { name } = domain;
  const keys = wanted.map(({ selector }) => selector);
  const done = (action: Action): Taken => ({ domain, action, keys, notes });
  const stored = await operator.store.snapshot(name);
  if (stored === null) {
    const made = wanted.map((key) => ({ key, id: randomUUID() }));
    const result = await adder(
      (at) => made.map(({ key, id }) => imported(key, id, domain, at)),
      made.flatMap(secretOf),
    );
    if (result.kind === 'added') return done('added');
    if (result.kind !== 'exists') return { ...done('failed'), notes: [...notes, `It was not added: ${result.kind}.`] };
    return add(domain, wanted, notes, { operator } as TakeOverOptions, adder);
  }
  const lacking = wanted.filter((key) => twinOf(stored.snapshot, key) === undefined);
  const taken = lacking.filter(({ selector }) => stored.snapshot.keys.some((key) => key.selector === selector));
  if (taken.length > 0)
    return {
      ...done('failed'),
      notes: [
        ...notes,
        `It is in care, and has another key under ${taken.map(({ selector }) => selector).join(', ')}: give it another selector in mailcow, or adopt it ("keyturn signer adopt").`,
      ],
    };
  if (lacking.length === 0) return done('there');
  for (const { selector } of lacking) {
    const refused = await reserveSelector(operator, stored.snapshot.domain, selector);
    if (refused !== null) return { ...done('failed'), notes: [...notes, `The selector ${selector} is taken there.`] };
  }
  const made = lacking.map((key) => ({ key, id: randomUUID() }));
  const result = await operate(
    operator,
    name,
    (_domain, at) => made.map(({ key, id }) => imported(key, id, domain, at)),
    made.flatMap(secretOf),
  );
  if (result.kind === 'done') return done('completed');
  return {
    ...done('failed'),
    notes: [...notes, `Its keys were not added: ${result.kind === 'refused' ? result.why : result.kind}.`],
  };
}

function imported(key: CheckedKey, id: string, { kind }: CheckedDomain, at: number): Outcome {
  const { selector, algorithm, bits, publicKey } = key;
  return {
    kind: 'key-imported',
    at,
    key: { id, stream: 'default', selector, algorithm, bits, publicKey, ownership: 'ours' },
    // What did not sign in mailcow does not begin to by being taken over.
    ...(key.role === 'blind' || kind === 'shadow' ? { kept: true } : {}),
  };
}

function secretOf({ key, id }: { readonly key: CheckedKey; readonly id: string }): NewSecret[] {
  return key.pkcs8 === null ? [] : [{ keyId: id, from: 'der', pkcs8: key.pkcs8 }];
}

async function ensureShadowPolicy({ store, clock, actor, dryRun = false }: Operator, policy: Policy): Promise<void> {
  if (dryRun || (await store.policy(shadowPolicy)) !== null) return;
  const now = clock.now();
  const made: Policy = { ...policy, keys: [], standby: 0 };
  const event = { actor: actor.name, source: actor.source, domain: null, kind: 'policy-put', at: now };
  await store.putPolicy(shadowPolicy, made, [{ ...event, details: plain({ name: shadowPolicy, policy: made }) }], now);
}
