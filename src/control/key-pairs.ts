/** Key pairs made ahead, so that a rotation of many domains waits for no prime number. */
import { generateKeyPair, type KeySpec, publicKeyData } from '../dkim/key-pair.ts';
import type { Clock } from '../lifecycle/clock.ts';
import type { KeyAlgorithm } from '../lifecycle/types.ts';
import type { PoolKind } from '../store/pool.ts';
import type { Store } from '../store/store.ts';
import type { KeyPairOffer } from './world.ts';

/** How long a reserved pair is kept for the look that asked for it, milliseconds; longer than any look takes. */
const reservedFor = 5 * 60_000;

export interface KeyPairSource {
  /** From the pool where it has one of the kind, made on the spot where not. */
  take(algorithm: KeyAlgorithm, bits: number): Promise<KeyPairOffer>;
  /** Makes pairs until the pool holds `ahead` of every kind that the policies name; stops early when `signal` says so. */
  refill(signal: AbortSignal): Promise<number>;
}

export function createKeyPairSource(store: Store, clock: Clock, ahead: number): KeyPairSource {
  return {
    async take(algorithm, bits) {
      const reserved = await store.pool.reserve({ algorithm, bits }, clock.now(), reservedFor);
      if (reserved !== null) {
        const { publicKey, reservation } = reserved;
        return { publicKey, secret: (keyId) => ({ keyId, from: 'pool', reservation }) };
      }
      const { publicKey, pkcs8 } = await make(algorithm, bits);
      return { publicKey, secret: (keyId) => ({ keyId, from: 'der', pkcs8 }) };
    },
    async refill(signal) {
      let made = 0;
      for (const kind of await kinds(store)) {
        for (let missing = ahead - (await store.pool.size(kind)); missing > 0 && !signal.aborted; missing--) {
          await store.pool.put({ ...kind, ...(await make(kind.algorithm, kind.bits)) });
          made++;
        }
      }
      return made;
    },
  };
}

/** The kinds that named policies ask for; a policy of a domain's own is served on the spot. */
async function kinds(store: Store): Promise<PoolKind[]> {
  const wanted = new Map<string, PoolKind>();
  for (const { policy } of await store.policies()) {
    for (const { algorithm, bits } of policy.keys) wanted.set(`${algorithm} ${bits}`, { algorithm, bits });
  }
  return [...wanted.values()];
}

async function make(algorithm: KeyAlgorithm, bits: number): Promise<{ publicKey: string; pkcs8: Uint8Array }> {
  const { privateKey } = await generateKeyPair(specOf(algorithm, bits));
  return {
    publicKey: publicKeyData(privateKey),
    pkcs8: new Uint8Array(privateKey.export({ type: 'pkcs8', format: 'der' })),
  };
}

function specOf(algorithm: KeyAlgorithm, bits: number): KeySpec {
  if (algorithm === 'ed25519') return { algorithm };
  if (bits === 2048 || bits === 3072 || bits === 4096) return { algorithm, bits };
  throw new Error(`RSA keys of ${bits} bits are not made: the policy may name 2048, 3072 or 4096`);
}
