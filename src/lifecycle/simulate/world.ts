/**
 * The world around the program: its true time, name servers, publisher, receivers and signers, and the mail. What the program
 * believes is not known here; what is true is, and that is what the verdicts on mail are made of.
 */
import type {
  KeyAlgorithm,
  KeyView,
  Outcome,
  ProofSummary,
  RecordKind,
  SignerAbilities,
  Snapshot,
  Step,
  Verdict,
} from '../types.ts';
import type { History, Trouble } from './history.ts';
import type { Random } from './random.ts';
import { newResolver, type Resolver } from './resolver.ts';
import { newServers, type Servers } from './servers.ts';

/** A signer as it really is. `loaded` is null while it has no keyring: it then defers mail of domains that must be signed. */
export interface RealSigner {
  readonly id: string;
  readonly abilities: SignerAbilities | null;
  loaded: number | null;
  /** What it signs with: stream → ids of keys; null while it has no keyring. */
  ring: ReadonlyMap<string, readonly string[]> | null;
  /** Somebody put something else into it. */
  drifted: boolean;
  /** The generation that it last acknowledged, and would come back with after a restart. */
  kept: number | null;
  /** An operator set it aside and it has not caught up since: its mail is at the operator's risk. */
  forsaken: boolean;
}

export interface KeyInRing {
  readonly id: string;
  readonly algorithm: KeyAlgorithm;
  readonly entered: number;
}

export interface Message {
  readonly at: number;
  readonly signer: string;
  readonly keyIds: readonly string[];
}

export interface World {
  readonly servers: Servers;
  readonly resolvers: readonly Resolver[];
  readonly signers: Map<string, RealSigner>;
  /** Generation → stream → the keys in that keyring. */
  readonly keyrings: Map<number, ReadonlyMap<string, readonly KeyInRing[]>>;
  /** When a key was last used by any signer that counts (true time). */
  readonly lastUse: Map<string, number>;
  /** Keys whose records somebody touched behind our back: what becomes of their mail is not our doing. */
  readonly vandalised: Set<string>;
  readonly troubles: (Trouble & { readonly until: number })[];
  /** Does what the step says, as far as troubles let it; answers what the program hears, null where it hears nothing. */
  carryOut(step: Step, store: Snapshot, t: number, clock: number): Outcome | null;
  load(signer: RealSigner, generation: number, t: number, overwrite: boolean): void;
  /** What a signer signs with that has loaded a generation. */
  ringOf(signer: RealSigner, generation: number): ReadonlyMap<string, readonly string[]>;
  /** Somebody puts a key of his own into the signer, whose record has been there for long. */
  meddle(signer: RealSigner, key: string, t: number): void;
  /** The record of a key that was there long before, on every server. */
  standLong(selector: string): void;
  /** What is to happen in the world later: handed to the event loop. */
  readonly later: { at: number; act: (t: number) => void }[];
  violation: string | null;
}

/** Long before any history begins. */
const BEFORE_ALL = Date.UTC(2024, 10, 1);

export function newWorld(history: History, random: Random, snapshotNow: () => Snapshot): World {
  const servers = newServers(history.servers);
  const keyIds = { made: 0 };
  const promises = new Map<string, { kind: RecordKind; ttl: number }>();
  const world: World = {
    servers,
    resolvers: [0, 1].map(() => newResolver(servers, history.negativeTtl, random)),
    signers: new Map(),
    keyrings: new Map([[0, new Map()]]),
    lastUse: new Map(),
    vandalised: new Set(),
    troubles: [],
    later: [],
    violation: null,
    carryOut,
    load,
    ringOf,
    meddle,
    standLong,
  };
  return world;

  function trouble<K extends Trouble['kind']>(
    kind: K,
    t: number,
    fits?: (x: Extract<Trouble, { kind: K }>) => boolean,
  ) {
    for (const one of world.troubles)
      if (one.kind === kind && one.until > t) {
        const same = one as Extract<Trouble, { kind: K }> & { until: number };
        if (fits === undefined || fits(same)) return same;
      }
    return undefined;
  }

  function carryOut(step: Step, store: Snapshot, t: number, clock: number): Outcome | null {
    switch (step.kind) {
      case 'create-key': {
        const { kind: _, ...named } = step;
        const { selector } = step;
        const id = `k${history.seed}-${++keyIds.made}`;
        // Somebody guesses the next selector and looks early, more than once.
        for (const resolver of world.resolvers) if (random.chance(0.5)) resolver.find(selector, t);
        const early = { at: t + random.between(0, history.negativeTtl * 1000), selector };
        world.later.push({ at: early.at, act: (at) => void random.pick(world.resolvers).find(early.selector, at) });
        return { kind: 'key-created', at: clock, key: { id, ...named, publicKey: id } };
      }
      case 'write-record':
        return write(step, store, t, clock);
      case 'prove':
        return prove(step, store, t, clock);
      case 'move':
        return { kind: 'moved', at: clock, keyId: step.keyId, to: step.to };
      case 'change-active':
        return { kind: 'active-changed', at: clock, enter: step.enter, leave: step.leave };
      case 'deliver':
        return deliver(step.signerId, store, t, clock);
      case 'self-test':
        return selfTest(step, store, t, clock);
      case 'destroy-private-key': {
        const key = store.keys.find((k) => k.id === step.keyId);
        if (key?.state !== 'removed') world.violation ??= `the private key of ${key?.selector} was destroyed too early`;
        return { kind: 'private-key-destroyed', at: clock, keyId: step.keyId };
      }
      case 'forget-domain':
        return null;
    }
  }

  function write(
    step: Extract<Step, { kind: 'write-record' }>,
    store: Snapshot,
    t: number,
    clock: number,
  ): Outcome | null {
    const key = store.keys.find((k) => k.id === step.keyId);
    if (key === undefined) return null;
    const { keyId, record, ttl } = step;
    if (!isOurs(key, store))
      return { kind: 'record-not-written', at: clock, keyId, reason: 'conflict', message: 'another key stands there' };
    if (trouble('publisher-lies', t)) return { kind: 'record-written', at: clock, keyId, record, ttl };
    const person = trouble('publisher-waits-for-person', t);
    if (person !== undefined) {
      const known = promises.has(key.selector);
      promises.set(key.selector, { kind: record, ttl });
      if (!known) world.later.push({ at: t + random.next() * person.by, act: (at) => personSets(key, at) });
      return { kind: 'record-not-written', at: clock, keyId, reason: 'waiting', message: 'a person has been asked' };
    }
    const failing = trouble('publisher-fails', t);
    if (failing !== undefined) {
      if (failing.silently && random.chance(0.5)) show(key, { kind: record, ttl }, t);
      return { kind: 'record-not-written', at: clock, keyId, reason: 'failed', message: 'no answer' };
    }
    show(key, { kind: record, ttl }, t);
    return { kind: 'record-written', at: clock, keyId, record, ttl };
  }

  /** Compare-and-set, as publishers do it: what stands there is the key's, nobody's, or a removed one's of the same slot. */
  function isOurs(key: KeyView, store: Snapshot): boolean {
    const { of } = servers.latest(0, key.selector);
    if (of === undefined || of === key.id) return true;
    const other = store.keys.find((k) => k.id === of);
    return key.state !== 'removed' && other?.state === 'removed';
  }

  function personSets(key: KeyView, t: number): void {
    const asked = promises.get(key.selector);
    promises.delete(key.selector);
    if (asked !== undefined && isOurs(key, snapshotNow())) show(key, asked, t);
  }

  /** Puts the record on every server in its own time, and judges whether that is too early for mail on its way. */
  function show(key: KeyView, shown: { kind: RecordKind; ttl: number }, t: number): void {
    if (shown.kind !== 'key') {
      if (snapshotNow().keys.some((k) => k.id === key.id && k.handedTo !== undefined))
        world.violation ??= `the record of ${key.selector} was withdrawn, which belongs to another domain`;
      judgeWithdrawal(key, t);
    }
    // Somebody looks at the last moment, and remembers.
    if (key.slot === true)
      for (const resolver of world.resolvers) if (random.chance(0.5)) resolver.find(key.selector, t);
    const lag = trouble('servers-lag', t)?.by ?? 20_000;
    for (let server = 0; server < servers.count; server++) {
      const stale = trouble('server-stale', t, (x) => x.server === server);
      servers.write(
        server,
        key.selector,
        shown.kind === 'key' ? { ...shown, of: key.id } : shown,
        t,
        Math.max(t + random.next() * lag, stale?.until ?? 0),
      );
    }
  }

  function judgeWithdrawal(old: KeyView, t: number): void {
    const key = snapshotNow().keys.find((k) => k.id === old.id) ?? old;
    // What somebody put into a signer by hand signs at his risk.
    for (const signer of world.signers.values())
      if (!signer.forsaken && !signer.drifted && isIn(signer.ring, key.id))
        world.violation ??= `the record of ${key.selector} was withdrawn while ${signer.id} signs with it`;
    const last = world.lastUse.get(key.id);
    if (last === undefined || key.compromisedAt !== null) return;
    if (t - last < promiseOf(history))
      world.violation ??= `the record of ${key.selector} was withdrawn ${Math.round((t - last) / 3_600_000)} h after its last use`;
  }

  function isIn(ring: RealSigner['ring'], keyId: string): boolean {
    for (const ids of ring?.values() ?? []) if (ids.includes(keyId)) return true;
    return false;
  }

  function standLong(selector: string): void {
    const at = BEFORE_ALL;
    for (let server = 0; server < servers.count; server++)
      servers.write(server, selector, { kind: 'key', ttl: 3600, of: selector }, at, at);
  }

  function meddle(signer: RealSigner, key: string, t: number): void {
    standLong(key);
    used(signer, t);
    signer.ring = new Map([['default', [key]]]);
    signer.drifted = true;
  }

  /** What it has signed with until now. */
  function used(signer: RealSigner, t: number): void {
    if (!signer.forsaken && !signer.drifted)
      for (const ids of signer.ring?.values() ?? []) for (const id of ids) world.lastUse.set(id, t);
  }

  /** By the same choice as signers make: their streams and algorithms, and of these the keys that entered last. */
  function ringOf(signer: RealSigner, generation: number): ReadonlyMap<string, readonly string[]> {
    const streams = snapshotNow().signers.find(({ id }) => id === signer.id)?.streams ?? [];
    const ring = new Map<string, readonly string[]>();
    for (const [stream, keys] of world.keyrings.get(generation) ?? []) {
      if (!streams.includes(stream)) continue;
      const able = keys.filter(({ algorithm }) => signer.abilities?.algorithms.includes(algorithm) ?? true);
      const chosen = able.toSorted((a, b) => b.entered - a.entered).slice(0, signer.abilities?.atMost ?? able.length);
      ring.set(
        stream,
        chosen.map(({ id }) => id),
      );
    }
    return ring;
  }

  function prove(step: Extract<Step, { kind: 'prove' }>, store: Snapshot, t: number, clock: number): Outcome | null {
    const key = store.keys.find((k) => k.id === step.keyId);
    if (key === undefined) return null;
    let agreeing = 0;
    let verdict: Verdict = 'seen';
    let ttl: number | null = null;
    for (let server = 0; server < servers.count; server++) {
      if (trouble('server-down', t, (x) => x.server === server)) {
        if (verdict === 'seen') verdict = 'unreachable';
        continue;
      }
      const shown = servers.read(server, key.selector, t);
      if (shown.kind === step.expected && (shown.kind !== 'key' || shown.of === key.id)) agreeing++;
      else verdict = shown.kind === 'absent' ? 'missing' : shown.kind === 'revoked' ? 'revoked' : 'mismatched';
      if (shown.kind !== 'absent') ttl = Math.max(ttl ?? 0, shown.ttl);
    }
    const proof: ProofSummary = {
      at: clock,
      expected: step.expected,
      verdict,
      serversAsked: servers.count,
      serversAgreeing: agreeing,
      ttl,
      negativeTtl: history.negativeTtl,
    };
    return { kind: 'proved', keyId: key.id, proof };
  }

  function deliver(signerId: string, store: Snapshot, t: number, clock: number): Outcome {
    const signer = world.signers.get(signerId);
    const pending = (message: string): Outcome => ({ kind: 'not-acknowledged', at: clock, signerId, message });
    if (signer === undefined || numbered('signer-down', signerId, t)) return pending('it does not answer');
    const { generation } = store.domain;
    const overwrite = store.signers.some(({ id, restoring }) => id === signerId && restoring === true);
    if (signer.drifted && !overwrite)
      return { kind: 'drift-found', at: clock, signerId, message: 'a key that was not given to it' };
    const slow = numbered('signer-slow', signerId, t);
    if (slow !== undefined && 'by' in slow && (signer.loaded ?? -1) < generation) {
      world.later.push({ at: t + random.next() * slow.by, act: (at) => load(signer, generation, at, overwrite) });
      return pending('not loaded yet');
    }
    load(signer, generation, t, overwrite);
    if (numbered('signer-mute', signerId, t)) return pending('no answer');
    signer.kept = signer.loaded;
    return { kind: 'acknowledged', at: clock, signerId, generation: signer.loaded ?? 0 };
  }

  function numbered(
    kind: 'signer-down' | 'signer-mute' | 'signer-slow' | 'self-test-fails',
    signerId: string,
    t: number,
  ) {
    return trouble(kind, t, (x) => `signer-${x.signer}` === signerId);
  }

  /** A signer takes a keyring that is newer than its own; from then on it signs with other keys. */
  function load(signer: RealSigner, generation: number, t: number, overwrite: boolean): void {
    if (!world.signers.has(signer.id)) return;
    if (signer.drifted ? !overwrite : generation <= (signer.loaded ?? -1)) return;
    const before = new Set([...(signer.ring?.values() ?? [])].flat());
    used(signer, t);
    signer.loaded = Math.max(generation, signer.loaded ?? 0);
    signer.drifted = false;
    signer.ring = ringOf(signer, signer.loaded);
    const store = snapshotNow();
    if (
      generation === store.domain.generation &&
      store.signers.some((s) => s.id === signer.id && s.setAsideAt === null)
    )
      signer.forsaken = false;
    for (const id of [...signer.ring.values()].flat()) {
      const key = store.keys.find((k) => k.id === id);
      if (key === undefined || before.has(id) || signer.forsaken || key.compromisedAt !== null) continue;
      if (world.vandalised.has(id)) continue;
      judgeFirstUse(key, t);
    }
  }

  /** Every server has shown the record since before any resolver's memory of its absence began. */
  function judgeFirstUse(key: KeyView, t: number): void {
    for (let server = 0; server < servers.count; server++) {
      const shown = servers.read(server, key.selector, t);
      if (shown.kind !== 'key' || shown.of !== key.id)
        world.violation ??= `${key.selector} signs although server ${server} shows it ${shown.kind}`;
      else if (servers.othersUntil(server, key.selector, key.id, t) > t)
        world.violation ??= `${key.selector} signs while resolvers may remember what stood there before`;
      else if (servers.since(server, key.selector, t) > t - history.negativeTtl * 1000)
        world.violation ??= `${key.selector} signs while resolvers may remember that it was missing`;
    }
  }

  function selfTest(
    step: Extract<Step, { kind: 'self-test' }>,
    store: Snapshot,
    t: number,
    clock: number,
  ): Outcome | null {
    const { signerId, keyId } = step;
    const signer = world.signers.get(signerId);
    if (store.keys.every((k) => k.id !== keyId)) return null;
    const failed = (message: string): Outcome => ({ kind: 'self-test-failed', at: clock, signerId, keyId, message });
    if (signer === undefined || signer.loaded === null || numbered('signer-down', signerId, t))
      return failed('no answer');
    if (numbered('self-test-fails', signerId, t) || !isIn(signer.ring, keyId)) return failed('it did not sign');
    return { kind: 'signature-seen', at: clock, signerId, keyId };
  }
}

/** How long after its signing a message may be verified, by what the policy promises; jumps of the clock take their shares. */
export function promiseOf(history: History): number {
  return history.policy.overlap * 0.75;
}
