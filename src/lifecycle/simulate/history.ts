/**
 * A history: the world that a domain lives in and every incident in its life, fixed in advance. Leaving incidents out gives
 * another valid history, so that a failing one can be made shorter.
 */
import { defaultPolicy, type KeySpec, type Policy } from '../policy.ts';
import type { SignerAbilities } from '../types.ts';
import { type Random, seeded } from './random.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
export const YEAR = 365 * DAY;

/** Something that is wrong for a while. `server` and `signer` are numbers within the world. */
export type Trouble =
  | { readonly kind: 'server-down'; readonly server: number }
  /** The server takes up no change until the end. */
  | { readonly kind: 'server-stale'; readonly server: number }
  /** Changes take up to this long to reach each server. */
  | { readonly kind: 'servers-lag'; readonly by: number }
  | { readonly kind: 'publisher-fails'; readonly silently: boolean }
  | { readonly kind: 'publisher-lies' }
  | { readonly kind: 'publisher-waits-for-person'; readonly by: number }
  | { readonly kind: 'signer-down'; readonly signer: number }
  /** It loads what it is given, and nobody hears of it. */
  | { readonly kind: 'signer-mute'; readonly signer: number }
  | { readonly kind: 'signer-slow'; readonly signer: number; readonly by: number }
  | { readonly kind: 'self-test-fails'; readonly signer: number };

export type Command =
  | { readonly kind: 'rotate' | 'approve' | 'pause' | 'resume' | 'roll-back'; readonly stream: number }
  | { readonly kind: 'pause-domain' | 'resume-domain' | 'remove-domain' | 'add-stream' }
  | { readonly kind: 'compromise'; readonly key: number }
  | { readonly kind: 'set-keys'; readonly stream: number; readonly keys: readonly KeySpec[] }
  | { readonly kind: 'add-signer' | 'remove-signer' | 'set-aside' | 'bring-back'; readonly signer: number }
  | { readonly kind: 'import' }
  /** A pair of another domain; `known`: of a shadow, whose record stands already. */
  | { readonly kind: 'copy'; readonly stream: number; readonly known: boolean; readonly use: boolean }
  | { readonly kind: 'want' | 'keep' | 'release' | 'hand'; readonly key: number }
  | { readonly kind: 'restore' | 'adopt'; readonly signer: number };

export type Incident =
  | { readonly kind: 'trouble'; readonly at: number; readonly until: number; readonly trouble: Trouble }
  | { readonly kind: 'command'; readonly at: number; readonly command: Command }
  | { readonly kind: 'clock-jump'; readonly at: number; readonly by: number }
  /** The program ends after so many more effects and answers, and starts again. */
  | { readonly kind: 'crash'; readonly at: number; readonly after: number; readonly back: number }
  /** A second instance plans now and acts later, on what it knew. */
  | { readonly kind: 'twin'; readonly at: number; readonly delay: number }
  /** Somebody changes a record behind our back on every server. Only in histories with vandals: no rule can prevent the harm. */
  | { readonly kind: 'vandal'; readonly at: number; readonly key: number; readonly leaves: 'revoked' | 'absent' }
  /** Somebody puts a key of his own into the signer, which nobody hears of for a while. */
  | { readonly kind: 'drift'; readonly at: number; readonly signer: number; readonly heard: number }
  /** The signer restarts: with what it had acknowledged, or empty (it then defers mail until it is given a keyring). */
  | { readonly kind: 'signer-restart'; readonly at: number; readonly signer: number; readonly empty: boolean };

export interface SignerKindOf {
  readonly abilities?: SignerAbilities;
  /** Only the first stream, or only those after it. */
  readonly only?: 'first' | 'others';
}

export interface History {
  readonly seed: number;
  readonly policy: Policy;
  /** A shadow's life: it holds keys, and gives them to its main domain. */
  readonly shadow?: true;
  readonly servers: number;
  readonly signers: number;
  /** What each signer can do and which streams it signs, by its number; what is left out can and signs everything. */
  readonly kinds: readonly SignerKindOf[];
  /** Seconds. */
  readonly negativeTtl: number;
  /** Milliseconds of simulated time; the last stretch, `calm`, is free of incidents. */
  readonly length: number;
  readonly calm: number;
  readonly incidents: readonly Incident[];
}

/** Everything that a domain of that many years may meet, from a seed; `hardship` multiplies how much of it. */
export function makeHistory(seed: number, years: number, hardship = 1): History {
  const random = seeded(seed);
  const short = random.chance(0.15);
  const policy = withSlots(short ? shortPolicy(random) : realPolicy(random), seed);
  const calm = policy.lead * 6 + policy.overlap + policy.tombstone + (short ? 5 : 15) * DAY;
  // A short policy lives through as much in a month as a real one in years.
  const length = Math.max((years * YEAR) / (short ? 15 : 1), calm * 2);
  const servers = random.whole(1, 3);
  const signers = random.whole(1, 3);
  const negativeTtl = Math.round(random.pick([60, 300, 900, 3600, short ? 1800 : 10_800]));
  const incidents: Incident[] = [];
  // Some domains have a quiet life, some do not; troubles of a long policy may be long as well.
  const density = random.pick([1, 4, 12]) * hardship * (length / YEAR) * (short ? 15 : 1);
  const end = length - calm;
  for (let i = 0; i < density; i++) incidents.push(anyIncident(random, end, short, servers, signers));
  if (random.chance(0.05))
    incidents.push({ kind: 'command', at: random.between(0, end), command: { kind: 'remove-domain' } });
  incidents.push(...moreIncidents(seed, incidents.length, end, short, signers));
  incidents.sort((a, b) => a.at - b.at);
  return { seed, policy, servers, signers, kinds: anyKinds(seed), negativeTtl, length, calm, incidents };
}

/** Copying, switching and meddling: their own dice leave the rest of each history as it is. */
function moreIncidents(seed: number, others: number, end: number, short: boolean, signers: number): Incident[] {
  const random = seeded(seed ^ 0xc0b1e5);
  const day = short ? DAY / 4 : DAY;
  return Array.from({ length: Math.ceil(others / 6) }, (): Incident => {
    const at = random.between(0, end * 0.98);
    const signer = random.whole(0, signers - 1);
    if (random.chance(0.2)) return { kind: 'drift', at, signer, heard: random.pick([0, HOUR, 3 * day]) };
    const key = random.whole(0, 9);
    const stream = random.whole(0, 2);
    const command = random.pick<Command>([
      { kind: 'copy', stream, known: random.chance(0.5), use: random.chance(0.5) },
      { kind: 'want', key },
      { kind: 'want', key },
      { kind: 'keep', key },
      { kind: 'release', key },
      { kind: 'restore', signer },
      { kind: 'adopt', signer },
    ]);
    return { kind: 'command', at, command };
  });
}

/** Half of the domains have signers that are alike and can do everything. The first signs every stream. */
function anyKinds(seed: number): readonly SignerKindOf[] {
  const random = seeded(seed ^ 0xab1e);
  if (random.chance(0.5)) return [];
  return Array.from({ length: 4 }, (_, n): SignerKindOf => {
    const abilities = random.pick<SignerAbilities | null>([
      null,
      { algorithms: ['rsa'], atMost: null },
      { algorithms: ['rsa'], atMost: 1 },
      { algorithms: ['rsa'], atMost: 2 },
    ]);
    const only = random.pick([null, null, 'first', 'others'] as const);
    return { ...(abilities === null ? {} : { abilities }), ...(n === 0 || only === null ? {} : { only }) };
  });
}

/** The life of a shadow: the same troubles without signers, and keys that are handed to its main domain. */
export function makeShadowHistory(seed: number, years: number): History {
  const { incidents, ...history } = makeHistory(seed, years, 3);
  const random = seeded(seed ^ 0x5ad0);
  const fit = incidents.filter(
    (incident) => incident.kind !== 'command' || ['compromise', 'set-keys', 'keep'].includes(incident.command.kind),
  );
  const end = history.length - history.calm;
  const hands = Array.from({ length: random.whole(2, 12) }, (): Incident => {
    const kind = random.pick(['hand', 'hand', 'release'] as const);
    return { kind: 'command', at: random.between(0, end), command: { kind, key: random.whole(0, 7) } };
  });
  const all = [...fit, ...hands].toSorted((a, b) => a.at - b.at);
  return { ...history, policy: { ...history.policy, standby: 1 }, shadow: true, signers: 0, kinds: [], incidents: all };
}

/** The same with vandals, who may break mail; what is asked of such histories is recovery. */
export function makeVandalHistory(seed: number, years: number): History {
  const history = makeHistory(seed, years);
  const random = seeded(seed ^ 0x0bad);
  const end = history.length - history.calm;
  const vandals = Array.from({ length: random.whole(1, 8) }, (): Incident => {
    const leaves = random.chance(0.3) ? 'revoked' : 'absent';
    return { kind: 'vandal', at: random.between(0, end), key: random.whole(0, 7), leaves };
  });
  return { ...history, incidents: [...history.incidents, ...vandals].toSorted((a, b) => a.at - b.at) };
}

/** Some policies have slots: enough for three streams, and for what commands add. Its own dice leave the other histories as they are. */
function withSlots(policy: Policy, seed: number): Policy {
  const random = seeded(seed ^ 0x51075);
  if (!random.chance(0.3)) return policy;
  return { ...policy, selectors: Array.from({ length: random.pick([40, 80]) }, (_, n) => `slot${n + 1}`) };
}

function realPolicy(random: Random): Policy {
  return {
    ...defaultPolicy,
    keys: anyKeys(random),
    rotateEvery: random.whole(90, 180) * DAY,
    jitter: random.pick([0, 0.1, 0.25]),
    lead: random.pick([24, 48, 72]) * HOUR,
    standby: random.pick([0, 1, 1, 1, 2]),
    overlap: random.whole(7, 14) * DAY,
    tombstone: 30 * DAY,
    proofFresh: random.pick([10, 30, 60]) * MINUTE,
    watchEvery: random.pick([2, 4, 7]) * DAY,
    approval: random.chance(0.1) ? 'required' : 'none',
    freeze: random.chance(0.15)
      ? [{ kind: 'yearly', from: { month: 12, day: 18 }, to: { month: 1, day: 3 }, why: 'the holidays' }]
      : [],
  };
}

function shortPolicy(random: Random): Policy {
  return {
    ...defaultPolicy,
    keys: anyKeys(random),
    rotateEvery: random.whole(5, 15) * DAY,
    jitter: random.pick([0, 0.1]),
    lead: random.whole(2, 8) * HOUR,
    standby: random.pick([0, 1, 1]),
    overlap: random.whole(24, 60) * HOUR,
    tombstone: 3 * DAY,
    ttl: 600,
    ttlAhead: 60,
    watchEvery: 12 * HOUR,
    freeze: random.chance(0.1)
      ? [{ kind: 'weekly', from: { weekday: 6, minute: 0 }, to: { weekday: 0, minute: 1439 }, why: 'the weekend' }]
      : [],
  };
}

function anyKeys(random: Random): readonly KeySpec[] {
  const rsa = { algorithm: 'rsa', bits: random.pick([2048, 2048, 3072, 4096]), count: 1 } as const;
  const ed = { algorithm: 'ed25519', bits: 256, count: 1 } as const;
  return random.pick([
    [rsa, ed],
    [rsa, ed],
    [rsa],
    [{ ...rsa, count: 2 }],
    [ed],
    [
      { ...rsa, count: 2 },
      { ...ed, count: 2 },
    ],
  ]);
}

function anyIncident(random: Random, end: number, short: boolean, servers: number, signers: number): Incident {
  const at = random.between(0, end * 0.98);
  const dice = random.next();
  if (dice < 0.4) {
    const longest = short ? 3 * DAY : 25 * DAY;
    const until = Math.min(end, at + random.pick([0.001, 0.02, 0.2, 1]) * longest * random.next());
    return { kind: 'trouble', at, until, trouble: anyTrouble(random, servers, signers) };
  }
  if (dice < 0.72) return { kind: 'command', at, command: anyCommand(random) };
  if (dice < 0.78) {
    const by = random.pick([MINUTE, HOUR, DAY, 30 * DAY, YEAR]) * random.between(-1, 1);
    return { kind: 'clock-jump', at, by };
  }
  if (dice < 0.88) return { kind: 'crash', at, after: random.whole(0, 12), back: random.pick([1000, MINUTE, 2 * DAY]) };
  if (dice < 0.94) return { kind: 'twin', at, delay: random.pick([0, 1000, 10 * MINUTE, 12 * HOUR, 20 * DAY]) };
  return { kind: 'signer-restart', at, signer: random.whole(0, signers - 1), empty: random.chance(0.5) };
}

function anyTrouble(random: Random, servers: number, signers: number): Trouble {
  const server = random.whole(0, servers - 1);
  const signer = random.whole(0, signers - 1);
  const by = random.pick([MINUTE, HOUR, DAY]);
  return random.pick<Trouble>([
    { kind: 'server-down', server },
    { kind: 'server-stale', server },
    { kind: 'servers-lag', by },
    { kind: 'publisher-fails', silently: random.chance(0.5) },
    { kind: 'publisher-lies' },
    { kind: 'publisher-waits-for-person', by },
    { kind: 'signer-down', signer },
    { kind: 'signer-mute', signer },
    { kind: 'signer-slow', signer, by },
    { kind: 'self-test-fails', signer },
  ]);
}

function anyCommand(random: Random): Command {
  const stream = random.whole(0, 2);
  const signer = random.whole(0, 3);
  return random.pick<Command>([
    { kind: 'rotate', stream },
    { kind: 'rotate', stream },
    { kind: 'approve', stream },
    { kind: 'pause', stream },
    { kind: 'resume', stream },
    { kind: 'roll-back', stream },
    { kind: 'roll-back', stream },
    { kind: 'pause-domain' },
    { kind: 'resume-domain' },
    { kind: 'add-stream' },
    { kind: 'compromise', key: random.whole(0, 7) },
    { kind: 'compromise', key: random.whole(0, 7) },
    { kind: 'set-keys', stream, keys: anyKeys(random) },
    { kind: 'set-keys', stream, keys: anyKeys(random) },
    { kind: 'add-signer', signer },
    { kind: 'remove-signer', signer },
    { kind: 'set-aside', signer },
    { kind: 'bring-back', signer },
    { kind: 'import' },
  ]);
}
