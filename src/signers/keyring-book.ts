/** The keyrings that a signer in this process signs by: replaced as a whole, one domain at a time, between two messages. */
import type { SigningKey } from '../dkim/types.ts';
import type { Keyring, KeyringKey } from './keyring.ts';

/** A domain's keyring in the form in which it is used: what never changes, and can be held while a message is signed. */
export interface KeyringEntry {
  readonly domain: string;
  readonly generation: number;
  readonly mustSign: boolean;
  readonly streams: ReadonlyMap<string, readonly SigningKey[]>;
}

/** A read-only view: what deciding and signing need. */
export interface KeyringLookup {
  /** The domain's entry; the name is taken without regard to case and a final dot. */
  find(domain: string): KeyringEntry | undefined;
  /** Grows with every change of any keyring. */
  readonly version: number;
}

export interface KeyringBook extends KeyringLookup {
  /**
   * Puts a keyring in place of the domain's last one, for the next message on.
   * An older generation than the one there is refused; the same again changes nothing.
   */
  put(keyring: Keyring): { readonly kind: 'loaded' | 'known' | 'outdated'; readonly generation: number };
  remove(domain: string): boolean;
  /** Puts all of them in place at once, and takes away every domain that is not among them. */
  replaceAll(keyrings: readonly Keyring[]): void;
  readonly size: number;
  domains(): Iterable<string>;
}

export function createKeyringBook(): KeyringBook {
  let entries = new Map<string, KeyringEntry>();
  let version = 0;
  return {
    find: (domain) => entries.get(domain) ?? entries.get(normalDomain(domain)),
    get version() {
      return version;
    },
    get size() {
      return entries.size;
    },
    domains: () => entries.keys(),
    put(keyring) {
      const domain = normalDomain(keyring.domain);
      const present = entries.get(domain);
      if (present !== undefined && present.generation > keyring.generation) {
        return { kind: 'outdated', generation: present.generation };
      }
      if (present !== undefined && present.generation === keyring.generation && sameEntry(present, keyring)) {
        return { kind: 'known', generation: present.generation };
      }
      entries.set(domain, toEntry(domain, keyring));
      version += 1;
      return { kind: 'loaded', generation: keyring.generation };
    },
    remove(domain) {
      const removed = entries.delete(normalDomain(domain));
      if (removed) version += 1;
      return removed;
    },
    replaceAll(keyrings) {
      const next = new Map<string, KeyringEntry>();
      for (const keyring of keyrings) {
        const domain = normalDomain(keyring.domain);
        next.set(domain, toEntry(domain, keyring));
      }
      entries = next;
      version += 1;
    },
  };
}

export function normalDomain(domain: string): string {
  const lower = domain.toLowerCase();
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

/** Asks the keyring's key for its private half when it is used: it may be parsed only then. A class, as there are very many. */
class LoadedKey implements SigningKey {
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: SigningKey['algorithm'];
  readonly #key: KeyringKey;

  constructor(domain: string, key: KeyringKey) {
    this.domain = domain;
    this.selector = key.selector;
    this.algorithm = key.algorithm;
    this.#key = key;
  }

  get privateKey() {
    return this.#key.privateKey;
  }
}

function toEntry(domain: string, keyring: Keyring): KeyringEntry {
  const streams = new Map<string, readonly SigningKey[]>();
  for (const [stream, keys] of Object.entries(keyring.streams)) {
    streams.set(
      stream,
      keys.map((key) => new LoadedKey(domain, key)),
    );
  }
  return { domain, generation: keyring.generation, mustSign: keyring.mustSign, streams };
}

/** The same generation may come with other content where a store was restored: content decides then. */
function sameEntry(entry: KeyringEntry, keyring: Keyring): boolean {
  const streams = Object.entries(keyring.streams);
  if (entry.mustSign !== keyring.mustSign || entry.streams.size !== streams.length) return false;
  return streams.every(([stream, keys]) => {
    const present = entry.streams.get(stream);
    return (
      present !== undefined &&
      present.length === keys.length &&
      keys.every((key, index) => {
        const other = present[index];
        return (
          other !== undefined &&
          other.selector === key.selector &&
          other.algorithm === key.algorithm &&
          (other.privateKey === key.privateKey || other.privateKey.equals(key.privateKey))
        );
      })
    );
  });
}
