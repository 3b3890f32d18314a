/** A domain whose whole life is led against one signer: a real store and real looks, DNS and the clock in the test's hand. */
import { randomUUID } from 'node:crypto';
import { bindToAll } from '../../src/control/bindings.ts';
import { createKeyPairSource } from '../../src/control/key-pairs.ts';
import { createLimit } from '../../src/control/limit.ts';
import { silentLog } from '../../src/control/log.ts';
import { type LookContext, look } from '../../src/control/look.ts';
import { addDomain, type Operator, syncPolicies } from '../../src/control/operations.ts';
import { recordText } from '../../src/control/records.ts';
import { createSignatureLedger } from '../../src/control/signature-ledger.ts';
import type { World } from '../../src/control/world.ts';
import { defaultPolicy, type Policy } from '../../src/lifecycle/policy.ts';
import type { KeyView, Snapshot } from '../../src/lifecycle/types.ts';
import type { LogLevel, SignerDependencies } from '../../src/signers/kind.ts';
import type { Signer } from '../../src/signers/signer.ts';
import { openMemoryStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';

const second = 1000;

/** RSA alone, and as quick as the rules allow. */
export const quickPolicy: Policy = {
  ...defaultPolicy,
  keys: [{ algorithm: 'rsa', bits: 2048, count: 1 }],
  selectorTemplate: 'k{n}',
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

export interface SignerScene extends AsyncDisposable {
  readonly store: Store;
  readonly operator: Operator;
  readonly clock: { now(): number };
  /** Record name → TXT value. */
  readonly records: Map<string, string>;
  time: number;
  /** One look, if the domain is due. */
  look(): Promise<void>;
  /** Looks and moves the clock until it is so; `each` is called after every look. */
  until(holds: (snapshot: Snapshot) => boolean, each?: (snapshot: Snapshot) => Promise<void>): Promise<Snapshot>;
  snapshot(): Promise<Snapshot>;
  add(): Promise<void>;
}

export const domainName = 'example.com';

export function active(snapshot: Snapshot): readonly KeyView[] {
  return snapshot.keys.filter(({ state }) => state === 'active');
}

/** One key signs, is known to, and its successor stands by. */
export function settled(snapshot: Snapshot): boolean {
  const [key] = active(snapshot);
  return (
    active(snapshot).length === 1 &&
    key !== undefined &&
    Object.keys(key.signaturesSeen).length > 0 &&
    snapshot.keys.some(({ state }) => state === 'standby')
  );
}

/** What a signer is made with, in tests; `lines` gathers its log. */
export function dependencies(
  folder: string,
  clock: { now(): number },
  lines: string[] = [],
  id = 'signer',
): SignerDependencies {
  return {
    id,
    clock,
    folder,
    log: (level: LogLevel, event, fields) => lines.push(JSON.stringify({ level, event, ...fields })),
    readSecret: (secret) => (typeof secret === 'string' ? secret : 'secret'),
    path: (written) => written,
  };
}

export async function createSignerScene(
  make: (clock: { now(): number }) => Signer | Promise<Signer>,
  policy: Policy = quickPolicy,
): Promise<SignerScene> {
  const records = new Map<string, string>();
  const start = Date.UTC(2026, 10, 24);
  const clock = { now: (): number => scene.time };
  const scene = { time: start } as SignerScene & { time: number };
  const store = await openMemoryStore(clock);
  const operator: Operator = { store, clock, actor: { name: 'olga', source: 'cli' } };
  await syncPolicies(operator, { default: policy }, policy);
  const signer = await make(clock);
  const bindings = [bindToAll(signer.id, signer.abilities)];
  const world: World = {
    publisherOf: () => ({
      name: 'zone',
      capabilities: { automatic: true, atomicCompareAndSet: true, minimumTtl: 0, maximumValueBytes: 4000 },
      async apply({ name, desired }) {
        if (desired === null) records.delete(name);
        else records.set(name, desired.value);
        return { kind: 'done' };
      },
    }),
    async prove(name, expected) {
      const value = records.get(name);
      const seen = expected.kind === 'absent' ? value === undefined : value === expected.value;
      const verdict = seen ? 'seen' : value === undefined ? 'missing' : 'mismatched';
      const server = { server: 'ns1', address: '192.0.2.1:53', role: 'authoritative', transport: 'udp' } as const;
      const values = value === undefined ? [] : [value];
      const answers = [{ ...server, verdict, values, ttl: 10, cnames: [], milliseconds: 1 }] as const;
      return { name, expected: expected.kind, at: scene.time, verdict, apex: domainName, answers, negativeTtl: 2 };
    },
    signers: new Map([[signer.id, signer]]),
    bindings,
    keyPair: createKeyPairSource(store, clock, 0).take,
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
    effectTimeout: 60 * second,
    leaseMs: 60 * second,
  };
  return Object.assign(scene, {
    store,
    operator,
    clock,
    records,
    async look() {
      const [claim] = await store.claimDue({ now: scene.time, limit: 1, owner: 'a', leaseMs: 60 * second });
      if (claim !== undefined) await look(claim, context);
    },
    async until(holds: (snapshot: Snapshot) => boolean, each?: (snapshot: Snapshot) => Promise<void>) {
      for (let looks = 0; looks < 1000; looks++) {
        await scene.look();
        const snapshot = await scene.snapshot();
        await each?.(snapshot);
        if (holds(snapshot)) return snapshot;
        scene.time = Math.max(scene.time + 1, (await store.nextDueAt()) ?? 0);
      }
      const { keys, conditions } = await scene.snapshot();
      throw new Error(
        `it never came to that: ${JSON.stringify([keys.map((k) => [k.selector, k.state]), conditions.map((c) => c.message)])}`,
      );
    },
    async snapshot() {
      const stored = await store.snapshot(domainName);
      if (stored === null) throw new Error('the domain is gone');
      return stored.snapshot;
    },
    async add() {
      await addDomain(operator, { name: domainName, kind: 'mail', policy: 'default', bindings });
    },
    async [Symbol.asyncDispose]() {
      await signer.close?.();
      await store.close();
    },
  });
}
