/** From the store's keyring to the signers': private keys become KeyObjects here and nowhere else. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { canSignWith } from '../lifecycle/facts.ts';
import type { KeyAlgorithm, SignerView, Snapshot } from '../lifecycle/types.ts';
import type { HeldKey, Keyring, KeyringKey, OtherKey } from '../signers/keyring.ts';
import type { StoredKeyring } from '../store/store.ts';

/** @throws where a private half is not a key; the error never holds the key. */
export function toKeyring(stored: StoredKeyring): Keyring {
  return keyringOf(stored, (key, pkcs8) => ({ ...key, privateKey: parse(pkcs8) }));
}

/**
 * The keyring for one signer: its streams, keys of the algorithms that it can sign with, when each key entered, and all the other keys
 * of the domain, so that it can tell its own leavings from what somebody else put there. `snapshot` must not be newer than `stored`.
 */
export function toSignerKeyring(stored: StoredKeyring, snapshot: Snapshot, signerId: string): Keyring {
  const keyring = toKeyring(stored);
  const signer = snapshot.signers.find(({ id }) => id === signerId);
  const entered = new Map(snapshot.keys.map((key) => [key.selector, key.enteredGeneration ?? 0]));
  const streams = stored.streams.flatMap(({ name }) => {
    if (signer !== undefined && !signer.streams.includes(name)) return [];
    const keys = (keyring.streams[name] ?? []).filter(
      ({ algorithm }) => signer === undefined || canSignWith(signer, algorithm === 'rsa-sha256' ? 'rsa' : 'ed25519'),
    );
    return [[name, keys.map((key) => ({ ...key, entered: entered.get(key.selector) ?? stored.generation }))] as const];
  });
  const held = heldKeys(stored, snapshot, signer);
  const active = new Set(stored.streams.flatMap(({ keys }) => keys.map(({ selector }) => selector)));
  const others = snapshot.keys.flatMap(({ selector, publicKey, state, ownership }): OtherKey[] =>
    active.has(selector) || ownership === 'external'
      ? []
      : // What left between the two readings is retiring.
        [{ selector, publicKey, state: state === 'active' ? 'retiring' : state }],
  );
  return {
    ...keyring,
    streams: Object.fromEntries(streams),
    ...(held === null ? {} : { held }),
    others,
    overwrite: signer?.restoring === true,
  };
}

/** Active keys of ours without a private half: the signer at which they were made signs with them. Null where there are none. */
function heldKeys(
  stored: StoredKeyring,
  snapshot: Snapshot,
  signer: SignerView | undefined,
): NonNullable<Keyring['held']> | null {
  const held = stored.streams.flatMap(({ name, keys }) => {
    if (signer !== undefined && !signer.streams.includes(name)) return [];
    const its = keys.flatMap(({ id, selector, algorithm, pkcs8 }): HeldKey[] => {
      const key = snapshot.keys.find((each) => each.id === id);
      if (pkcs8 !== null || key?.ownership !== 'ours' || key.privateKeyDestroyedAt !== null) return [];
      const entered = key.enteredGeneration ?? stored.generation;
      return [{ selector, algorithm: nameOf(algorithm), publicKey: key.publicKey, entered }];
    });
    return its.length === 0 ? [] : [[name, its] as const];
  });
  return held.length === 0 ? null : Object.fromEntries(held);
}

function nameOf(algorithm: KeyAlgorithm): KeyringKey['algorithm'] {
  return algorithm === 'rsa' ? 'rsa-sha256' : 'ed25519-sha256';
}

/**
 * The same, with each key parsed when it is first used: parsing is most of the time that a start with many domains takes, and most
 * domains send nothing for long. What cannot be parsed throws then, and the message that wanted to be signed is put off.
 */
export function toUnparsedKeyring(stored: StoredKeyring): Keyring {
  return keyringOf(stored, copiedKey);
}

/** A copy of its own: what the store gives may lie in a larger buffer, which must not live as long. */
function copiedKey(key: Omit<KeyringKey, 'privateKey'>, pkcs8: Uint8Array): KeyringKey {
  return unparsedKey(key, new Uint8Array(pkcs8));
}

/** A key that is parsed when it is first used; `pkcs8` is its own from now on, and wiped then. */
export function unparsedKey({ selector, algorithm, entered }: Omit<KeyringKey, 'privateKey'>, pkcs8: Uint8Array) {
  return new UnparsedKey(selector, algorithm, entered, pkcs8);
}

/** A class, for there are hundreds of thousands of them: a getter in an object literal is a function and a shape of each one's own. */
class UnparsedKey implements KeyringKey {
  readonly selector: string;
  readonly algorithm: KeyringKey['algorithm'];
  declare readonly entered?: number;
  #source: Uint8Array | KeyObject;

  constructor(
    selector: string,
    algorithm: KeyringKey['algorithm'],
    entered: number | undefined,
    source: Uint8Array | KeyObject,
  ) {
    this.selector = selector;
    this.algorithm = algorithm;
    if (entered !== undefined) this.entered = entered;
    this.#source = source;
  }

  get privateKey(): KeyObject {
    if (this.#source instanceof Uint8Array) {
      const parsed = parse(this.#source);
      this.#source.fill(0);
      this.#source = parsed;
    }
    return this.#source;
  }
}

function keyringOf(
  { domain, generation, mustSign, streams }: StoredKeyring,
  withPrivateKey: (key: Omit<KeyringKey, 'privateKey'>, pkcs8: Uint8Array) => KeyringKey,
): Keyring {
  return {
    domain,
    generation,
    mustSign,
    streams: Object.fromEntries(
      streams.map(({ name, keys }) => [
        name,
        keys.flatMap(({ selector, algorithm, pkcs8 }) =>
          pkcs8 === null ? [] : [withPrivateKey({ selector, algorithm: nameOf(algorithm) }, pkcs8)],
        ),
      ]),
    ),
  };
}

function parse(pkcs8: Uint8Array): KeyObject {
  return createPrivateKey({
    key: Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.byteLength),
    format: 'der',
    type: 'pkcs8',
  });
}
