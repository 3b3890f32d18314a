/** Key pairs made ahead, sealed: making an RSA key takes a tenth of a second, and a rotation must not wait for it. */
import type { KeyAlgorithm } from '../lifecycle/types.ts';

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
