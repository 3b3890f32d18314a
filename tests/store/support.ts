/** What the store's tests share: key pairs, domains, a clock that stands until it is set. */
import { generateKeyPairSync } from 'node:crypto';
import type { Clock } from '../../src/lifecycle/clock.ts';
import type { Snapshot } from '../../src/lifecycle/types.ts';
import type { NewEvent } from '../../src/store/journal.ts';
import type { Json } from '../../src/store/json.ts';
import type { Store, StoredDomain } from '../../src/store/store.ts';

export function edPair(): { publicKey: string; pkcs8: Buffer } {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  return {
    publicKey: publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64'),
    pkcs8: privateKey.export({ format: 'der', type: 'pkcs8' }),
  };
}

export function rsaPair(): { publicKey: string; pkcs8: Buffer } {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    publicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
    pkcs8: privateKey.export({ format: 'der', type: 'pkcs8' }),
  };
}

export function event(domain: string | null, kind: string, details: Json = {}): NewEvent {
  return { actor: 'keyturn', source: 'test', domain, kind, details };
}

export async function add(store: Store, snapshot: Snapshot, nextLookAt = 0): Promise<StoredDomain> {
  const { name } = snapshot.domain;
  const result = await store.addDomain({
    snapshot,
    policy: { kind: 'named', name: 'default' },
    events: [event(name, 'domain-added')],
    nextLookAt,
  });
  if (result.kind !== 'added') throw new Error(`${name} was not added: ${result.kind}`);
  return await read(store, name);
}

export async function read(store: Store, name: string): Promise<StoredDomain> {
  const stored = await store.snapshot(name);
  if (!stored) throw new Error(`${name} is not in the store`);
  return stored;
}

export function standingClock(start = 1_000_000): Clock & { set(time: number): void } {
  let time = start;
  return {
    now: () => time,
    set(next) {
      time = next;
    },
  };
}
