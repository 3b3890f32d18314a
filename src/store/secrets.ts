/** Private keys, sealed each for its own key, selector and domain. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { Snapshot } from '../lifecycle/types.ts';
import { StoreError } from './errors.ts';
import { padded } from './read.ts';
import { type Keks, type Place, seal, unseal } from './sealing.ts';
import type { NewSecret } from './store.ts';
import type { Db, Trx } from './tables.ts';
import type { Batch } from './writer.ts';

/** The reserved pair is no longer in the pool; becomes the result `pool` of the commit. */
export class StalePool extends Error {
  override readonly name = 'StalePool';
}

export interface KeyPlace {
  readonly id: string;
  readonly domain: string;
  readonly selector: string;
}

export interface Secrets {
  save(batch: Batch, snapshot: Snapshot, secrets: readonly NewSecret[]): Promise<void>;
  destroy(trx: Trx, keyIds: readonly string[]): Promise<void>;
  /** PKCS#8 by key id; keys without a private half are left out. */
  load(db: Db, keys: readonly KeyPlace[]): Promise<ReadonlyMap<string, Uint8Array>>;
}

export function createSecrets(keks: Keks): Secrets {
  return {
    async save(batch, snapshot, secrets) {
      const { trx } = batch;
      for (const secret of secrets) {
        const key = snapshot.keys.find((k) => k.id === secret.keyId);
        if (!key)
          throw new StoreError(
            'invalid',
            `There is no key ${secret.keyId} in ${snapshot.domain.name} to take a private half.`,
            'Add the key in the same commit.',
          );
        const pkcs8 =
          secret.from === 'pool' ? await takeFromPool(batch, keks, secret.reservation, key.publicKey) : secret.pkcs8;
        if (secret.from === 'der')
          checkPair(pkcs8, key.publicKey, `${key.selector}._domainkey.${snapshot.domain.name}`);
        const sealed = seal(
          keks,
          privateKeyPlace({ id: key.id, domain: snapshot.domain.name, selector: key.selector }),
          pkcs8,
        );
        await trx.insertInto('private_keys').values({ key_id: key.id, sealed, kek_id: keks.current.id }).execute();
        if (secret.from === 'pool') pkcs8.fill(0);
      }
    },
    async destroy(trx, keyIds) {
      for (const id of keyIds) await trx.deleteFrom('private_keys').where('key_id', '=', id).execute();
    },
    async load(db, keys) {
      if (keys.length === 0) return new Map();
      const places = new Map(keys.map((key) => [key.id, key]));
      const rows = await db
        .selectFrom('private_keys')
        .selectAll()
        .where('key_id', 'in', padded([...places.keys()]))
        .execute();
      return new Map(
        rows.flatMap(({ key_id, sealed }) => {
          const place = places.get(key_id);
          return place ? [[key_id, unseal(keks, privateKeyPlace(place), sealed)] as const] : [];
        }),
      );
    },
  };
}

export function privateKeyPlace({ id, domain, selector }: KeyPlace): Place {
  return { purpose: 'private-key', domain, selector, id };
}

/** The public half belongs to the place: a pair whose public half was exchanged does not open. */
export function poolPlace(id: string, publicKey: string): Place {
  return { purpose: 'pool', domain: '', selector: publicKey, id };
}

/** Throws `StoreError` `invalid` unless the private key is the other half of the record's `p=`. */
export function checkPair(pkcs8: Uint8Array, publicKey: string, where: string): void {
  if (publicForms(pkcs8, where).includes(publicKey)) return;
  throw new StoreError(
    'invalid',
    `The private key for ${where} is not the other half of its public key.`,
    'Nothing was stored. Hand in both halves of one pair.',
  );
}

/** What may stand in `p=`: RSA as SubjectPublicKeyInfo or RSAPublicKey (RFC 6376 section 3.6.1), Ed25519 as its 32 octets (RFC 8463 section 4). */
function publicForms(pkcs8: Uint8Array, where: string): readonly string[] {
  try {
    const key = createPublicKey(createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' }));
    const info = key.export({ format: 'der', type: 'spki' });
    if (key.asymmetricKeyType === 'ed25519') return [info.subarray(-32).toString('base64')];
    return [info.toString('base64'), key.export({ format: 'der', type: 'pkcs1' }).toString('base64')];
  } catch {
    // The parser's own message could quote what it was given.
    throw new StoreError('invalid', `The private key for ${where} cannot be read as PKCS#8.`, 'Nothing was stored.');
  }
}

async function takeFromPool({ trx, locked }: Batch, keks: Keks, id: string, publicKey: string): Promise<Uint8Array> {
  const row = await locked(trx.selectFrom('pool').selectAll().where('id', '=', id)).executeTakeFirst();
  if (!row || row.public_key !== publicKey) throw new StalePool(`the reserved pair ${id} is not in the pool`);
  await trx.deleteFrom('pool').where('id', '=', id).execute();
  return unseal(keks, poolPlace(id, publicKey), row.sealed);
}
