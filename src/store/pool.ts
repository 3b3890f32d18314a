/** Key pairs made ahead, sealed: making an RSA key takes a tenth of a second, and a rotation must not wait for it. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../lifecycle/clock.ts';
import type { KeyAlgorithm } from '../lifecycle/types.ts';
import { type Keks, seal } from './sealing.ts';
import { checkPair, poolPlace } from './secrets.ts';
import type { Db } from './tables.ts';
import type { Writer } from './writer.ts';

export interface PoolKind {
  readonly algorithm: KeyAlgorithm;
  readonly bits: number;
}

export interface PooledKey extends PoolKind {
  /** Contents of the record's `p=` tag. */
  readonly publicKey: string;
  /** PKCS#8, DER. */
  readonly pkcs8: Uint8Array;
}

/** The public half of a pair that nobody else will be given until the reservation ends. */
export interface Reservation extends PoolKind {
  readonly reservation: string;
  readonly publicKey: string;
  readonly until: number;
}

export interface KeyPool {
  put(key: PooledKey): Promise<void>;
  /** Null: the pool has none of this kind. A reservation that is never used ends by itself and the pair is offered again. */
  reserve(kind: PoolKind, now: number, milliseconds: number): Promise<Reservation | null>;
  /** Pairs in the pool, reserved ones included. */
  size(kind: PoolKind): Promise<number>;
}

export function createPool(db: Db, writer: Writer, keks: Keks, clock: Clock): KeyPool {
  return {
    async put({ algorithm, bits, publicKey, pkcs8 }) {
      checkPair(pkcs8, publicKey, 'the pool');
      const id = randomBytes(16).toString('hex');
      const sealed = seal(keks, poolPlace(id, publicKey), pkcs8);
      await writer.write(async ({ trx }) => {
        await trx
          .insertInto('pool')
          .values({
            id,
            algorithm,
            bits,
            public_key: publicKey,
            sealed,
            kek_id: keks.current.id,
            made_at: clock.now(),
            reserved_until: 0,
          })
          .execute();
      });
    },

    async reserve({ algorithm, bits }, now, milliseconds) {
      return await writer.write(async ({ trx, locked }) => {
        const free = trx
          .selectFrom('pool')
          .select(['id', 'public_key'])
          .where('algorithm', '=', algorithm)
          .where('bits', '=', bits)
          .where('reserved_until', '<=', now)
          .limit(1);
        const row = await locked(free).executeTakeFirst();
        if (!row) return null;
        const until = now + milliseconds;
        await trx.updateTable('pool').set({ reserved_until: until }).where('id', '=', row.id).execute();
        return { algorithm, bits, reservation: row.id, publicKey: row.public_key, until };
      });
    },

    async size({ algorithm, bits }) {
      const row = await db
        .selectFrom('pool')
        .select((eb) => eb.fn.countAll<number>().as('pairs'))
        .where('algorithm', '=', algorithm)
        .where('bits', '=', bits)
        .executeTakeFirstOrThrow();
      return Number(row.pairs);
    },
  };
}
