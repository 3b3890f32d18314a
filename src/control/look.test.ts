import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { generateKeyPair, publicKeyData } from '../dkim/key-pair.ts';
import type { Proof } from '../dns/lookup/proof.ts';
import { recordInstructions } from '../dns/publish/instructions.ts';
import type { Publisher, PublishResult, RecordChange } from '../dns/publish/publisher.ts';
import { defaultPolicy, type Policy } from '../lifecycle/policy.ts';
import type { Snapshot } from '../lifecycle/types.ts';
import { createKeyringBook, type KeyringBook } from '../signers/keyring-book.ts';
import type { Delivery, Signer } from '../signers/signer.ts';
import { openMemoryStore } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { bindToAll } from './bindings.ts';
import { createLimit } from './limit.ts';
import { silentLog } from './log.ts';
import { type LookContext, look } from './look.ts';
import { addDomain, mark, type Operator, syncPolicies } from './operations.ts';
import { recordText } from './records.ts';
import { createSignatureLedger } from './signature-ledger.ts';
import type { World } from './world.ts';

const second = 1000;
const policy: Policy = {
  ...defaultPolicy,
  keys: [{ algorithm: 'ed25519', bits: 256, count: 1 }],
  rotateEvery: 3600 * second,
  jitter: 0,
  lead: 10 * second,
  overlap: 60 * second,
  tombstone: 30 * second,
  ttl: 20,
  ttlAhead: 10,
  proofFresh: 10 * second,
  watchEvery: 60 * second,
};
const name = 'example.com';

/** A world of one zone, one signer and a clock that is moved by hand. */
interface Scene {
  readonly store: Store;
  readonly operator: Operator;
  readonly context: LookContext;
  readonly records: Map<string, string>;
  readonly book: KeyringBook;
  /** What was asked of the world, in order. */
  readonly calls: string[];
  time: number;
  publish: (change: RecordChange) => PublishResult | null | Promise<PublishResult | null>;
  deliver: () => Delivery | null;
  /** Claims the domain if it is due, and looks. */
  look(): Promise<boolean>;
  /** Looks and moves the clock until the keys are so. */
  until(holds: (snapshot: Snapshot) => boolean): Promise<Snapshot>;
  snapshot(): Promise<Snapshot>;
}

let scene: Scene;
beforeEach(async () => {
  scene = await createScene();
});
afterEach(() => scene.store.close());

async function createScene(): Promise<Scene> {
  const records = new Map<string, string>();
  const calls: string[] = [];
  const book = createKeyringBook();
  const start = Date.UTC(2026, 10, 24);
  const clock = { now: (): number => time() };
  let time = () => start;
  const store = await openMemoryStore(clock);
  const operator: Operator = { store, clock, actor: { name: 'olga', source: 'cli' } };
  await syncPolicies(operator, { default: policy }, policy);

  const publisher: Publisher = {
    name: 'zone',
    capabilities: { automatic: true, atomicCompareAndSet: true, minimumTtl: 0, maximumValueBytes: 4000 },
    async apply(change) {
      calls.push(
        `write ${change.desired === null ? 'nothing' : change.desired.value.endsWith('p=') ? 'revoked' : 'key'}`,
      );
      const answer = await self.publish(change);
      if (answer !== null) return answer;
      if (change.desired === null) records.delete(change.name);
      else records.set(change.name, change.desired.value);
      return { kind: 'done' };
    },
  };
  const signer: Signer = {
    id: 'milter',
    kind: 'fake',
    async deliver(keyring) {
      calls.push(`deliver ${keyring.generation}`);
      const answer = self.deliver();
      if (answer !== null) return answer;
      return { kind: 'acknowledged', generation: book.put(keyring).generation };
    },
    async forget(domain) {
      calls.push('forget');
      book.remove(domain);
    },
    async selfTest(domain, stream, selector) {
      const has = book
        .find(domain)
        ?.streams.get(stream)
        ?.some((key) => key.selector === selector);
      return has ? { kind: 'signed' } : { kind: 'failed', message: 'it is not loaded' };
    },
  };
  const world: World = {
    publisherOf: () => publisher,
    async prove(at, expected): Promise<Proof> {
      const value = records.get(at);
      const seen = expected.kind === 'absent' ? value === undefined : value === expected.value;
      const answer = { server: 'ns1', address: '192.0.2.1:53', role: 'authoritative', transport: 'udp' } as const;
      const verdict = seen ? 'seen' : value === undefined ? 'missing' : 'mismatched';
      return {
        name: at,
        expected: expected.kind,
        at: self.time,
        verdict,
        apex: name,
        answers: [
          { ...answer, verdict, values: value === undefined ? [] : [value], ttl: 10, cnames: [], milliseconds: 1 },
        ],
        negativeTtl: 2,
      };
    },
    signers: new Map([[signer.id, signer]]),
    bindings: [bindToAll(signer.id)],
    async keyPair() {
      const { privateKey } = await generateKeyPair({ algorithm: 'ed25519' });
      const pkcs8 = new Uint8Array(privateKey.export({ type: 'pkcs8', format: 'der' }));
      return { publicKey: publicKeyData(privateKey), secret: (keyId) => ({ keyId, from: 'der', pkcs8 }) };
    },
    newKeyId: randomUUID,
    recordText,
  };
  const context: LookContext = {
    store,
    world,
    clock,
    ledger: createSignatureLedger(),
    log: silentLog,
    limit: createLimit(4),
    effectTimeout: 5 * second,
    leaseMs: 60 * second,
  };
  const self: Scene = {
    store,
    operator,
    context,
    records,
    book,
    calls,
    time: start,
    publish: () => null,
    deliver: () => null,
    async look() {
      const [claim] = await store.claimDue({ now: self.time, limit: 1, owner: 'a', leaseMs: 60 * second });
      if (claim === undefined) return false;
      await look(claim, context);
      return true;
    },
    async until(holds) {
      for (let looks = 0; looks < 2000; looks++) {
        await self.look();
        const snapshot = await self.snapshot();
        if (holds(snapshot)) return snapshot;
        self.time = Math.max(self.time + 1, (await store.nextDueAt()) ?? 0);
      }
      throw new Error(`it never came to that: ${JSON.stringify((await self.snapshot()).keys.map((k) => k.state))}`);
    },
    async snapshot() {
      const stored = await store.snapshot(name);
      if (stored === null) throw new Error('the domain is gone');
      return stored.snapshot;
    },
  };
  time = () => self.time;
  return self;
}

const add = () => addDomain(scene.operator, { name, kind: 'mail', policy: 'default', bindings: [bindToAll('milter')] });
const count = (snapshot: Snapshot, state: string) => snapshot.keys.filter((key) => key.state === state).length;
const ready = (snapshot: Snapshot) => count(snapshot, 'active') === 1 && count(snapshot, 'standby') === 1;

describe('a look', () => {
  test('brings a new domain to its first active key, and every private key stays sealed in the store', async () => {
    await add();
    const snapshot = await scene.until(ready);
    expect(snapshot.domain.generation).toBe(1);
    expect(scene.book.find(name)?.streams.get('default')).toHaveLength(1);
    for (const key of snapshot.keys) expect(await scene.store.loadPrivateKey(key.id)).not.toBeNull();
    expect((await scene.store.journal.verify()).kind).toBe('intact');
  });

  test('asked for a rotation: the successor signs before the old key leaves, and the old record stands for the overlap', async () => {
    await add();
    const before = await scene.until(ready);
    const old = before.keys.find((key) => key.state === 'active');
    await mark(scene.operator, name, { kind: 'rotation-requested', stream: 'default' });
    const turned = await scene.until((s) => s.keys.some((key) => key.id === old?.id && key.state === 'retiring'));
    expect(count(turned, 'active')).toBe(1);
    const left = scene.time;
    expect(scene.records.get(`${old?.selector}._domainkey.${name}`)).toContain(old?.publicKey);
    await scene.until((s) => s.keys.some((key) => key.id === old?.id && key.state === 'revoked'));
    expect(scene.time - left).toBeGreaterThanOrEqual(policy.overlap);
    const gone = await scene.until((s) =>
      s.keys.some((key) => key.id === old?.id && key.privateKeyDestroyedAt !== null),
    );
    expect(scene.records.has(`${old?.selector}._domainkey.${name}`)).toBe(false);
    expect(await scene.store.loadPrivateKey(old?.id ?? '')).toBeNull();
    expect(ready(gone)).toBe(true);
  });

  test('stores the decision to revoke before the record is touched', async () => {
    await add();
    await scene.until(ready);
    await mark(scene.operator, name, { kind: 'rotation-requested', stream: 'default' });
    const statesAtWrite: string[] = [];
    scene.publish = async (change) => {
      if (change.desired?.value.endsWith('p=')) {
        const key = (await scene.snapshot()).keys.find((k) => change.name.startsWith(`${k.selector}.`));
        statesAtWrite.push(key?.state ?? 'unknown');
      }
      return null;
    };
    await scene.until((s) => count(s, 'removed') === 1);
    expect(statesAtWrite).toEqual(['revoked']);
  });

  test('goes on with what others wrote meanwhile: an answer is folded into the newer state, and nobody is overwritten', async () => {
    await add();
    scene.publish = async () => {
      scene.publish = () => null;
      await mark(scene.operator, name, { kind: 'paused', stream: null });
      return null;
    };
    await scene.look();
    const snapshot = await scene.snapshot();
    expect(snapshot.domain.pausedAt).not.toBeNull();
    expect(snapshot.keys.filter((key) => key.written?.kind === 'key')).toHaveLength(2);
  });

  test('whose domain was claimed by another instance writes nothing', async () => {
    await add();
    await scene.until(ready);
    await mark(scene.operator, name, { kind: 'rotation-requested', stream: 'default' });
    const [slow] = await scene.store.claimDue({ now: scene.time, limit: 1, owner: 'slow', leaseMs: 5 });
    expect(slow).toBeDefined();
    if (slow === undefined) return;
    scene.time += 10;
    const [fast] = await scene.store.claimDue({ now: scene.time, limit: 1, owner: 'fast', leaseMs: 60 * second });
    expect(fast?.name).toBe(name);
    const before = await scene.store.snapshot(name);
    const calls = scene.calls.length;
    await look(slow, scene.context);
    expect((await scene.store.snapshot(name))?.version).toBe(before?.version);
    expect(scene.calls.length).toBe(calls);
  });

  test.each<[PublishResult, string]>([
    [{ kind: 'failed', message: 'no route to the server' }, 'write-failed'],
    [{ kind: 'refused', message: 'not its zone' }, 'record-refused'],
    [{ kind: 'conflict', found: ['v=DKIM1; p=other'], message: 'another record stands there' }, 'record-conflict'],
  ])('whose publisher says %o raises %s, tries again with pauses, and recovers', async (result, reason) => {
    await add();
    scene.publish = () => result;
    const troubled = await scene.until((s) => s.conditions.some((condition) => condition.reason === reason));
    expect(troubled.conditions.find((condition) => condition.reason === reason)?.message).toContain(
      'message' in result ? result.message : '',
    );
    const start = scene.time;
    const calls = scene.calls.length;
    while (scene.time < start + 600 * second) {
      await scene.look();
      scene.time = Math.max(scene.time + 1, (await scene.store.nextDueAt()) ?? 0);
    }
    expect(scene.calls.length - calls).toBeLessThan(200);
    scene.publish = () => null;
    const well = await scene.until((s) => ready(s) && s.conditions.length === 0);
    expect(well.conditions).toEqual([]);
  });

  test('whose publisher throws is not the end of it: the fault is a condition', async () => {
    await add();
    scene.publish = () => {
      throw new TypeError('a fault of the program');
    };
    const snapshot = await scene.until((s) => s.conditions.some(({ reason }) => reason === 'write-failed'));
    const fault = snapshot.conditions.find(({ reason }) => reason === 'write-failed');
    expect(fault?.message).toContain('a fault of the program');
  });

  test('whose records a person sets by hand goes on by itself once they are there, and again once they are gone', async () => {
    await add();
    /** What the person has been asked for and has not done yet. */
    const asked = new Map<string, string | null>();
    scene.publish = (change) => {
      const value = change.desired?.value ?? null;
      if ((scene.records.get(change.name) ?? null) !== value) asked.set(change.name, value);
      return { kind: 'waiting', instructions: recordInstructions(change) };
    };
    const obey = () => {
      for (const [at, value] of asked) value === null ? scene.records.delete(at) : scene.records.set(at, value);
      asked.clear();
    };
    const waiting = await scene.until(
      (s) => s.conditions.filter(({ reason }) => reason === 'record-waiting').length === 2,
    );
    expect(waiting.conditions.find(({ reason }) => reason === 'record-waiting')?.message).toContain(
      'IN TXT "v=DKIM1; k=ed25519; p=',
    );
    obey();
    const signing = await scene.until(ready);
    expect(signing.conditions.filter(({ reason }) => reason === 'record-waiting')).toEqual([]);
    await mark(scene.operator, name, { kind: 'rotation-requested', stream: 'default' });
    await scene.until((s) => {
      if (asked.size > 0) obey();
      return ready(s) && count(s, 'removed') === 1;
    });
    expect(scene.records.size).toBe(2);
  });

  test('lets no key leave while the signer does not acknowledge: both keys sign on', async () => {
    await add();
    await scene.until(ready);
    scene.deliver = () => ({ kind: 'failed', message: 'the signer is away' });
    await mark(scene.operator, name, { kind: 'rotation-requested', stream: 'default' });
    const stuck = await scene.until((s) => s.conditions.some(({ reason }) => reason === 'signer-not-acknowledging'));
    expect(count(stuck, 'active')).toBe(2);
    expect(count(stuck, 'retiring')).toBe(0);
    scene.deliver = () => null;
    const well = await scene.until((s) => ready(s) && count(s, 'removed') === 1);
    expect(well.conditions).toEqual([]);
  });

  test('folds signatures seen on real mail, once, and forgets them then', async () => {
    await add();
    const snapshot = await scene.until(ready);
    const key = snapshot.keys.find(({ state }) => state === 'active');
    scene.time += 5 * second;
    scene.context.ledger.note(name, { signerId: 'milter', selector: key?.selector ?? '', at: scene.time });
    scene.context.ledger.note(name, { signerId: 'milter', selector: 'unknown', at: scene.time });
    await scene.store.wake(name, scene.time);
    await scene.look();
    const after = (await scene.snapshot()).keys.find(({ id }) => id === key?.id);
    expect(after?.signaturesSeen.milter).toBe(scene.time);
    expect(scene.context.ledger.domains()).toEqual([]);
  });

  test('forgets a domain that is to go, once nothing of it is left in DNS and in the signer', async () => {
    await add();
    await scene.until(ready);
    await mark(scene.operator, name, { kind: 'removal-requested' });
    for (let looks = 0; looks < 2000 && (await scene.store.snapshot(name)) !== null; looks++) {
      await scene.look();
      scene.time = Math.max(scene.time + 1, (await scene.store.nextDueAt()) ?? 0);
    }
    expect(await scene.store.snapshot(name)).toBeNull();
    expect(scene.records.size).toBe(0);
    expect(scene.book.find(name)).toBeUndefined();
    const { items } = await scene.store.journal.list({ domain: name });
    expect(items[0]?.kind).toBe('domain-removed');
    expect((await scene.store.journal.verify()).kind).toBe('intact');
  });
});
