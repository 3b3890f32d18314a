/** Lives through a history: the program looks, acts and crashes, the world answers, mail flows, and nothing may go wrong. */
import { type Applied, apply } from '../apply.ts';
import { explain } from '../explain.ts';
import { newDomain } from '../new-domain.ts';
import { looked, plan } from '../plan.ts';
import { allGuards, check, checkContinuity, type Guards } from '../rules.ts';
import type { Outcome, Plan, Snapshot } from '../types.ts';
import { newAgenda } from './agenda.ts';
import { foreignKey, outcomesOf } from './commands.ts';
import { describe, isAtGoal } from './goal.ts';
import type { Command, History, Incident } from './history.ts';
import { seeded } from './random.ts';
import { type KeyInRing, type Message, newWorld, promiseOf, type RealSigner } from './world.ts';

const SECOND = 1000;
const DAY = 86_400_000;
/** The program's clock and the true time begin here: 1 January 2026, UTC. */
const BEGIN = Date.UTC(2026, 0, 1);

export interface Run {
  /** What broke, and when (true time, milliseconds since the beginning); null when nothing did. */
  readonly broke: { readonly at: number; readonly what: string } | null;
  readonly looks: number;
  readonly messages: number;
  readonly verified: number;
  readonly changes: number;
}

/** Told of every step and every incident, for people who want to read the history. */
export type Tell = (at: number, what: string) => void;

type Event =
  | { readonly kind: 'look'; readonly token: number }
  | { readonly kind: 'incident'; readonly incident: Incident }
  | { readonly kind: 'mail'; readonly again: boolean }
  | { readonly kind: 'verify'; readonly message: Message }
  | { readonly kind: 'twin'; readonly version: number; readonly planned: Plan }
  | { readonly kind: 'world'; readonly act: (t: number) => void }
  | { readonly kind: 'calm' }
  | { readonly kind: 'approve' };

export interface RunOptions {
  /** Clauses of the rules that the program is to neglect. */
  readonly guards?: Guards;
  /** Ask the rules of every outcome (the default); without, only what happens to mail and records speaks. */
  readonly askRules?: boolean;
  readonly tell?: Tell;
}

/** Runs one history to its end or to the first thing that breaks. Deterministic. */
export function run(history: History, options: RunOptions = {}): Run {
  const { guards = allGuards, askRules = true, tell = null } = options;
  const random = seeded(history.seed ^ 0x5eed);
  const { policy } = history;
  let snapshot: Snapshot =
    history.shadow === true
      ? newDomain('dkim-backup1.example.test', 'shadow', BEGIN, 'example.test')
      : newDomain('example.test', 'mail', BEGIN);
  let version = 0;
  let offset = 0;
  let token = 0;
  let nextLookAt = BEGIN;
  let effectsLeft = Number.POSITIVE_INFINITY;
  let downFor = SECOND;
  let asleepUntil = 0;
  let forgotten = false;
  let reached = false;
  let broke: Run['broke'] = null;
  let imported = 0;
  const counts = { looks: 0, messages: 0, verified: 0, changes: 0 };
  const agenda = newAgenda<Event>();
  const world = newWorld(history, random, () => snapshot);
  const end = BEGIN + history.length;
  const calmFrom = end - history.calm;

  function fail(t: number, what: string): void {
    broke ??= { at: t - BEGIN, what };
  }

  /** Folds an outcome into the store, with every rule asked before and after. */
  function commit(outcome: Outcome, t: number): void {
    const clock = t + offset;
    const [fault] = askRules ? check(snapshot, outcome, policy, clock) : [];
    const before = snapshot;
    const applied: Applied = apply(snapshot, outcome, guards);
    if (applied.snapshot === before) return;
    if (fault !== undefined) fail(t, `rule ${fault.rule}: ${fault.message}`);
    snapshot = applied.snapshot;
    version++;
    const [odd] = checkContinuity(before, snapshot);
    if (odd !== undefined) fail(t, `rule ${odd.rule}: ${odd.message}`);
    if (snapshot.domain.generation !== before.domain.generation) {
      counts.changes++;
      const keyring = new Map<string, KeyInRing[]>();
      for (const { id, state, stream, algorithm, enteredGeneration } of snapshot.keys)
        if (state === 'active')
          keyring.set(stream, [...(keyring.get(stream) ?? []), { id, algorithm, entered: enteredGeneration ?? 0 }]);
      for (const stream of world.keyrings.get(before.domain.generation)?.keys() ?? [])
        if (!keyring.has(stream) && snapshot.domain.removingAt === null)
          fail(t, `stream ${stream} would sign with nothing`);
      world.keyrings.set(snapshot.domain.generation, keyring);
    }
  }

  function sleepUntil(t: number): void {
    // The program trusts no plan to look more than 25 hours ahead: its clock has gone back since.
    const clock = t + offset;
    const wait = nextLookAt > clock + 25 * 3_600_000 ? 0 : Math.max(0, nextLookAt - clock);
    agenda.at(Math.max(t + Math.max(wait, 100), asleepUntil), { kind: 'look', token: ++token });
  }

  /** One effect or answer more; true when the program dies here. */
  function dies(t: number): boolean {
    if (--effectsLeft > 0) return false;
    effectsLeft = Number.POSITIVE_INFINITY;
    asleepUntil = t + downFor;
    return true;
  }

  function look(t: number): void {
    counts.looks++;
    if (counts.looks > 5000 + 5000 * (history.length / policy.rotateEvery)) fail(t, 'the program looks far too often');
    const clock = t + offset;
    const planned = plan(snapshot, policy, clock, guards);
    commit(looked(planned, clock), t);
    // After any step it looks again at once; if it dies before it has the news, it does so when it is back.
    nextLookAt = planned.steps.length > 0 ? clock : planned.nextLookAt;
    if (act(planned, t, () => true) === 'routine' && planned.conditions.length === 0) nextLookAt = planned.nextLookAt;
    if (t >= calmFrom + history.calm / 2 && !reached) reached = isAtGoal(snapshot, policy, t + offset);
    sleepUntil(t);
  }

  function act(planned: Plan, t: number, isCurrent: () => boolean): 'routine' | 'news' {
    const clock = t + offset;
    let routine = true;
    for (const step of planned.steps) {
      if (dies(t)) return 'news';
      if (tell !== null) tell(t - BEGIN, explain(step, snapshot));
      if (step.kind === 'forget-domain') {
        if (isCurrent()) forgotten = true;
        continue;
      }
      const decides = step.kind === 'move' || step.kind === 'change-active';
      if (decides && !isCurrent()) continue;
      const loaded = step.kind === 'deliver' ? world.signers.get(step.signerId)?.loaded : null;
      const outcome = world.carryOut(step, snapshot, t, clock);
      if (dies(t)) return 'news';
      routine &&= outcome !== null && isRoutine(snapshot, outcome);
      if (outcome !== null) commit(outcome, t);
      for (const { at, act: happen } of world.later.splice(0)) agenda.at(at, { kind: 'world', act: happen });
      if (step.kind === 'deliver') {
        const signer = world.signers.get(step.signerId);
        if (signer !== undefined && signer.loaded !== loaded) mail(t, signer);
      }
    }
    return routine ? 'routine' : 'news';
  }

  function mail(t: number, signer: RealSigner): void {
    const { ring } = signer;
    if (ring === null || forgotten || signer.drifted) return;
    for (const keyIds of ring.values()) {
      // It may be able to sign with none of them.
      if (keyIds.length === 0) continue;
      counts.messages++;
      const message: Message = { at: t, signer: signer.id, keyIds };
      verify(t, message);
      agenda.at(t + random.next() * promiseOf(history), { kind: 'verify', message });
      agenda.at(t + promiseOf(history), { kind: 'verify', message });
      if (random.chance(0.3)) {
        const keyId = random.pick(keyIds);
        commit({ kind: 'signature-seen', at: t + offset, signerId: signer.id, keyId }, t);
      }
    }
  }

  /** What a receiver makes of the message now. Trust in a compromised key may go at any time; a forsaken signer was given up. */
  function verify(t: number, message: Message): void {
    const signer = world.signers.get(message.signer);
    if (signer === undefined || signer.forsaken) return;
    for (const id of message.keyIds) {
      const key = snapshot.keys.find((k) => k.id === id);
      if (key === undefined || key.compromisedAt !== null || world.vandalised.has(id)) continue;
      counts.verified++;
      const found = random.pick(world.resolvers).find(key.selector, t);
      if (found.kind !== 'key' || found.of !== id)
        fail(
          t,
          `a receiver found ${key.selector} ${found.kind}; the message was signed ${Math.round((t - message.at) / SECOND)} s before`,
        );
    }
  }

  function strike(t: number, incident: Incident): void {
    if (tell !== null) tell(t - BEGIN, `* ${JSON.stringify(incident)}`);
    switch (incident.kind) {
      case 'trouble':
        world.troubles.push({ ...incident.trouble, until: BEGIN + incident.until });
        return;
      case 'clock-jump':
        offset += incident.by;
        sleepUntil(t);
        return;
      case 'crash':
        effectsLeft = incident.after;
        downFor = incident.back;
        return;
      case 'twin': {
        const planned = plan(snapshot, policy, t + offset, guards);
        agenda.at(t + incident.delay, { kind: 'twin', version, planned });
        return;
      }
      case 'vandal': {
        const standing = snapshot.keys.filter((key) => key.written?.kind === 'key' && key.state !== 'removed');
        const key = standing[incident.key % Math.max(1, standing.length)];
        if (key === undefined) return;
        world.vandalised.add(key.id);
        for (let server = 0; server < history.servers; server++)
          world.servers.write(server, key.selector, { kind: incident.leaves, ttl: 3600 }, t, t);
        return;
      }
      case 'drift': {
        const signer = world.signers.get(`signer-${incident.signer}`);
        if (signer === undefined || signer.loaded === null || snapshot.domain.firstActiveAt === null) return;
        world.meddle(signer, foreignKey(signer.id), t);
        const message = 'a key that was not given to it';
        const hear = (at: number): void => {
          if (signer.drifted) commit({ kind: 'drift-found', at: at + offset, signerId: signer.id, message }, at);
        };
        agenda.at(t + incident.heard, { kind: 'world', act: hear });
        return;
      }
      case 'signer-restart':
        restart(t, `signer-${incident.signer}`, incident.empty);
        return;
      case 'command':
        command(t, incident.command);
        return;
    }
  }

  function restart(t: number, id: string, empty: boolean): void {
    const signer = world.signers.get(id);
    if (signer === undefined) return;
    if (!signer.forsaken && !signer.drifted)
      for (const keyIds of signer.ring?.values() ?? []) for (const key of keyIds) world.lastUse.set(key, t);
    // What somebody put there by hand stands on its disk; a signer that lost all has lost that as well.
    if (signer.drifted && !empty) return;
    signer.drifted = false;
    signer.loaded = empty ? null : signer.kept;
    signer.ring = signer.loaded === null ? null : world.ringOf(signer, signer.loaded);
    if (empty) commit({ kind: 'acknowledged', at: t + offset, signerId: id, generation: 0 }, t);
  }

  function command(t: number, what: Command): void {
    const name = `old${history.seed}-${imported + 1}`;
    for (const outcome of outcomesOf(what, t + offset, snapshot, policy, name, history.kinds)) {
      if (outcome.kind === 'key-imported' && outcome.key.id === name) takeOver(name, t);
      if (outcome.kind === 'key-copied') {
        imported++;
        if (outcome.known !== undefined) world.standLong(name);
      }
      if (outcome.kind === 'signer-added' && !world.signers.has(outcome.signerId))
        world.signers.set(outcome.signerId, {
          id: outcome.signerId,
          abilities: outcome.abilities ?? null,
          loaded: null,
          ring: null,
          drifted: false,
          kept: null,
          forsaken: false,
        });
      const signer = 'signerId' in outcome ? world.signers.get(outcome.signerId) : undefined;
      commit(outcome, t);
      if (outcome.kind === 'signer-removed') world.signers.delete(outcome.signerId);
      if (outcome.kind === 'signer-set-aside' && signer !== undefined) signer.forsaken = true;
    }
    nextLookAt = t + offset;
    sleepUntil(t);
  }

  /** The key's old system has been signing with it until now, and its record, if it has one, was there long before. */
  function takeOver(selector: string, t: number): void {
    imported++;
    // Every third was never published, or its record is gone.
    const isPublished = imported % 3 !== 0;
    if (isPublished) world.standLong(selector);
    world.lastUse.set(selector, t);
  }

  function calmDown(t: number): void {
    offset = 0;
    effectsLeft = Number.POSITIVE_INFINITY;
    const isSigned = (stream: string): boolean => snapshot.signers.some(({ streams }) => streams.includes(stream));
    if (history.shadow !== true && !snapshot.streams.every(({ name }) => isSigned(name)))
      command(t, { kind: 'add-signer', signer: 0 });
    for (const signer of snapshot.signers) commit({ kind: 'drift-restored', at: t, signerId: signer.id }, t);
    for (const signer of world.signers.values())
      if (signer.drifted) commit({ kind: 'drift-found', at: t, signerId: signer.id, message: 'seen' }, t);
    for (const signer of snapshot.signers) commit({ kind: 'drift-restored', at: t, signerId: signer.id }, t);
    for (const signer of snapshot.signers) commit({ kind: 'signer-brought-back', at: t, signerId: signer.id }, t);
    commit({ kind: 'resumed', at: t, stream: null }, t);
    for (const stream of snapshot.streams) commit({ kind: 'resumed', at: t, stream: stream.name }, t);
    approve(t);
  }

  function approve(t: number): void {
    for (const stream of snapshot.streams) commit({ kind: 'rotation-approved', at: t, stream: stream.name }, t);
    nextLookAt = t + offset;
    sleepUntil(t);
    agenda.at(t + 3 * DAY, { kind: 'approve' });
  }

  for (let signer = 0; signer < history.signers; signer++) command(BEGIN, { kind: 'add-signer', signer });
  for (const incident of history.incidents) agenda.at(BEGIN + incident.at, { kind: 'incident', incident });
  agenda.at(calmFrom, { kind: 'calm' });
  agenda.at(BEGIN, { kind: 'mail', again: true });
  sleepUntil(BEGIN);
  for (let event = agenda.take(); event !== undefined && event.time <= end && !forgotten; event = agenda.take()) {
    const { time: t, what } = event;
    switch (what.kind) {
      case 'look':
        if (what.token === token) look(t);
        break;
      case 'incident':
        strike(t, what.incident);
        break;
      case 'mail':
        for (const signer of world.signers.values()) mail(t, signer);
        agenda.at(t + random.between(0.2, 2) * (policy.rotateEvery / 12), { kind: 'mail', again: true });
        break;
      case 'verify':
        verify(t, what.message);
        break;
      case 'twin':
        if (t < calmFrom)
          act(what.planned, t, () => what.version === version && what.planned.nextLookAt > t + offset - SECOND);
        break;
      case 'world':
        what.act(t);
        break;
      case 'calm':
        calmDown(t);
        break;
      case 'approve':
        approve(t);
        break;
    }
    if (world.violation !== null) fail(t, world.violation);
    if (broke !== null) break;
  }
  if (broke === null && !forgotten && !reached)
    fail(end, `the goal was not reached in the calm: ${describe(snapshot)}`);
  return { broke, ...counts };
}

/** A record that is seen as it was before: the program need not look again because of it. */
function isRoutine(before: Snapshot, outcome: Outcome): boolean {
  if (outcome.kind !== 'proved' || outcome.proof.verdict !== 'seen') return false;
  const proof = before.keys.find((key) => key.id === outcome.keyId)?.proof;
  return proof?.verdict === 'seen' && proof.expected === outcome.proof.expected;
}
