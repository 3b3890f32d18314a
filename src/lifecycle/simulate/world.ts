/**
 * The world around the program: its true time, name servers, publisher, receivers and signers, and the mail. What the program
 * believes is not known here; what is true is, and that is what the verdicts on mail are made of.
 */
import type { KeyView, Outcome, ProofSummary, RecordKind, Snapshot, Step, Verdict } from '../types.ts';
import type { History, Trouble } from './history.ts';
import type { Random } from './random.ts';
import { newResolver, type Resolver } from './resolver.ts';
import { newServers, type Servers } from './servers.ts';

/** A signer as it really is. `loaded` is null while it has no keyring: it then defers mail of domains that must be signed. */
export interface RealSigner {
  readonly id: string;
  loaded: number | null;
  /** The generation that it last acknowledged, and would come back with after a restart. */
  kept: number | null;
  /** An operator set it aside and it has not caught up since: its mail is at the operator's risk. */
  forsaken: boolean;
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
  /** Generation → stream → ids of the keys in that keyring. */
  readonly keyrings: Map<number, ReadonlyMap<string, readonly string[]>>;
  /** When a key was last used by any signer that counts (true time). */
  readonly lastUse: Map<string, number>;
  /** Keys whose records somebody touched behind our back: what becomes of their mail is not our doing. */
  readonly vandalised: Set<string>;
  readonly troubles: (Trouble & { readonly until: number })[];
  /** Does what the step says, as far as troubles let it; answers what the program hears, null where it hears nothing. */
  carryOut(step: Step, store: Snapshot, t: number, clock: number): Outcome | null;
  load(signer: RealSigner, generation: number, t: number): void;
  /** What is to happen in the world later: handed to the event loop. */
  readonly later: { at: number; act: (t: number) => void }[];
  violation: string | null;
}

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
    if (shown.kind !== 'key') judgeWithdrawal(key, t);
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
    for (const signer of world.signers.values())
      if (!signer.forsaken && signer.loaded !== null && holds(signer.loaded, key.id))
        world.violation ??= `the record of ${key.selector} was withdrawn while ${signer.id} signs with it`;
    const last = world.lastUse.get(key.id);
    if (last === undefined || key.compromisedAt !== null) return;
    if (t - last < promiseOf(history))
      world.violation ??= `the record of ${key.selector} was withdrawn ${Math.round((t - last) / 3_600_000)} h after its last use`;
  }

  function holds(generation: number, keyId: string): boolean {
    for (const ids of world.keyrings.get(generation)?.values() ?? []) if (ids.includes(keyId)) return true;
    return false;
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
    const slow = numbered('signer-slow', signerId, t);
    if (slow !== undefined && 'by' in slow && (signer.loaded ?? -1) < generation) {
      world.later.push({ at: t + random.next() * slow.by, act: (at) => load(signer, generation, at) });
      return pending('not loaded yet');
    }
    load(signer, generation, t);
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
  function load(signer: RealSigner, generation: number, t: number): void {
    if (!world.signers.has(signer.id) || generation <= (signer.loaded ?? -1)) return;
    const before =
      signer.loaded === null
        ? new Set<string>()
        : new Set([...(world.keyrings.get(signer.loaded)?.values() ?? [])].flat());
    if (!signer.forsaken) for (const id of before) world.lastUse.set(id, t);
    signer.loaded = generation;
    const store = snapshotNow();
    if (
      generation === store.domain.generation &&
      store.signers.some((s) => s.id === signer.id && s.setAsideAt === null)
    )
      signer.forsaken = false;
    for (const id of [...(world.keyrings.get(generation)?.values() ?? [])].flat()) {
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
    if (numbered('self-test-fails', signerId, t) || !holds(signer.loaded, keyId)) return failed('it did not sign');
    return { kind: 'signature-seen', at: clock, signerId, keyId };
  }
}

/** How long after its signing a message may be verified, by what the policy promises; jumps of the clock take their shares. */
export function promiseOf(history: History): number {
  return history.policy.overlap * 0.75;
}
