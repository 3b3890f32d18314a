/** What stands in Redis for a domain in the layout with one key that signs: read, told apart into ours and others', and changed in one piece. */
import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { importPrivateKey } from '../../dkim/import-key.ts';
import { publicKeyData } from '../../dkim/key-pair.ts';
import type { Keyring, KeyringKey } from '../keyring.ts';
import type { RedisConnection } from './connection.ts';

/** Names of hashes. Fields are domains; of `privateKeys`, `SELECTOR.DOMAIN`. */
export interface OneKeyHashes {
  readonly selectors: string;
  readonly privateKeys: string;
  /** mailcow shows the public half from here; null where nobody wants it. */
  readonly publicKeys: string | null;
  /** Ours: per domain, what we put there. */
  readonly marks: string;
}

/** What we put there: the generation, and every private half that is still there, by selector, as a digest of its public half. */
export interface Mark {
  readonly generation: number;
  readonly keys: Readonly<Record<string, string>>;
}

export interface OneKeyState {
  /** The selector in use; null for none. */
  readonly selector: string | null;
  readonly publicKey: string | null;
  readonly mark: Mark | null;
  /** The mark as it is written; '' for none. */
  readonly markText: string;
  /** Private halves by selector: the one in use, and those asked for. Null where there is none. A secret. */
  readonly privateKeys: ReadonlyMap<string, string | null>;
}

export async function readState(
  redis: RedisConnection,
  hashes: OneKeyHashes,
  domain: string,
  selectors: readonly string[],
): Promise<OneKeyState> {
  const fields = (names: readonly string[]) => names.map((each) => `${each}.${domain}`);
  const read = async (names: readonly string[]) =>
    names.length === 0 ? [] : many(redis, hashes.privateKeys, fields(names));
  // They go out together on one connection.
  const [selector, publicKey, mark, texts] = await Promise.all([
    get(redis, hashes.selectors, domain),
    hashes.publicKeys === null ? null : get(redis, hashes.publicKeys, domain),
    get(redis, hashes.marks, domain),
    read(selectors),
  ]);
  const privateKeys = new Map(selectors.map((each, index) => [each, texts[index] ?? null] as const));
  if (selector !== null && !privateKeys.has(selector)) privateKeys.set(selector, (await read([selector]))[0] ?? null);
  return { selector, publicKey, mark: readMark(mark), markText: mark ?? '', privateKeys };
}

export async function get(redis: RedisConnection, key: string, field: string): Promise<string | null> {
  const value = await redis.call('HGET', key, field);
  return typeof value === 'string' ? value : null;
}

export async function many(
  redis: RedisConnection,
  key: string,
  fields: readonly string[],
): Promise<readonly (string | null)[]> {
  const values = await redis.call('HMGET', key, ...fields);
  return Array.isArray(values) ? values.map((value) => (typeof value === 'string' ? value : null)) : [];
}

export function readMark(text: string | null): Mark | null {
  if (text === null) return null;
  try {
    const { generation, keys } = JSON.parse(text) as Partial<Mark>;
    if (typeof generation === 'number' && typeof keys === 'object') return { generation, keys };
  } catch {
    // Somebody wrote over it: as good as none.
  }
  return null;
}

/** Looking into a private key costs a millisecond, and an inspection looks into all of them: by digests of their texts. */
const halves = new Map<string, string | null>();
const mostHalves = 50_000;

/** The contents of the `p=` of a private key in a text; null where it is none. */
export function publicHalf(text: string | null): string | null {
  if (text === null) return null;
  const digest = hash('sha256', text, 'base64');
  const known = halves.get(digest);
  if (known !== undefined) return known;
  const imported = importPrivateKey(text);
  const half = imported.ok ? publicKeyData(imported.pair.publicKey) : null;
  if (halves.size >= mostHalves) halves.clear();
  halves.set(digest, half);
  return half;
}

/** Tells keys apart without telling them. */
export function digestOf(publicKey: string): string {
  return hash('sha256', publicKey, 'base64url').slice(0, 22);
}

/** Every key of the domain that is or was ours, by selector. */
export function knownKeys({ streams, others = [] }: Keyring): ReadonlyMap<string, ReadonlySet<string>> {
  const known = new Map<string, Set<string>>();
  const add = (selector: string, publicKey: string) => {
    const same = known.get(selector);
    if (same === undefined) known.set(selector, new Set([publicKey]));
    else same.add(publicKey);
  };
  for (const { selector, privateKey } of Object.values(streams).flat()) add(selector, publicKeyData(privateKey));
  for (const { selector, publicKey } of others) add(selector, publicKey);
  return known;
}

export interface Wanted {
  readonly selector: string;
  readonly publicKey: string;
  readonly key: KeyObject;
}

export function wantedOf({ selector, privateKey }: KeyringKey): Wanted {
  return { selector, publicKey: publicKeyData(privateKey), key: createPublicKey(privateKey) };
}

/** How what stands there compares with the key that is to sign. */
export type Comparison =
  | { readonly kind: 'right' }
  /** Parts are missing, or an older of our keys stands there with an older generation. */
  | { readonly kind: 'lost'; readonly message: string }
  /** An earlier key of ours: what a delivery changes. */
  | { readonly kind: 'earlier'; readonly message: string }
  | { readonly kind: 'foreign'; readonly message: string };

export function compare(
  state: OneKeyState,
  wanted: Wanted,
  keyring: Keyring,
  where: string,
  withPublic: boolean,
): Comparison {
  const { domain, generation } = keyring;
  const inUse = state.selector;
  const staged = state.privateKeys.get(wanted.selector) ?? null;
  if (staged !== null && publicHalf(staged) !== wanted.publicKey) {
    const known =
      knownKeys(keyring)
        .get(wanted.selector)
        ?.has(publicHalf(staged) ?? '') ?? false;
    // The key that stood in this slot before is ours to write over.
    if (!known)
      return { kind: 'foreign', message: `At ${where} another key stands under ${wanted.selector} of ${domain}.` };
  }
  if (inUse === null)
    return { kind: 'lost', message: `${where} has no selector for ${domain}: its mail leaves unsigned.` };
  const text = state.privateKeys.get(inUse) ?? null;
  const half = publicHalf(text);
  const known = knownKeys(keyring).get(inUse);
  if (known === undefined) {
    return { kind: 'foreign', message: `${where} signs ${domain} with the selector ${inUse}, which is none of ours.` };
  }
  if (text === null)
    return {
      kind: 'lost',
      message: `${where} has no private key for ${inUse} of ${domain}: its mail leaves unsigned.`,
    };
  if (half === null || !known.has(half)) {
    return { kind: 'foreign', message: `${where} signs ${domain} with another key under the selector ${inUse}.` };
  }
  if (inUse !== wanted.selector || half !== wanted.publicKey) {
    const message = `${where} signs ${domain} with ${inUse}, and should with ${wanted.selector}.`;
    // Restored from a backup, or by an instance that knew no better: nobody's will.
    const older = state.mark === null || state.mark.generation < generation;
    return older ? { kind: 'lost', message } : { kind: 'earlier', message };
  }
  if (withPublic && state.publicKey === null)
    return { kind: 'lost', message: `${where} has no public key for ${domain}.` };
  if (withPublic && state.publicKey !== wanted.publicKey) {
    const ours = [...knownKeys(keyring).values()].some((keys) => keys.has(state.publicKey ?? ''));
    const message = `${where} shows another public key for ${domain} than the one that signs.`;
    return ours ? { kind: 'lost', message } : { kind: 'foreign', message };
  }
  return { kind: 'right' };
}

/** Every private half whose field ends in the domain, by what stands before it. Secrets. */
export async function scanKeys(
  redis: RedisConnection,
  privateKeys: string,
  domain: string,
): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  let cursor = '0';
  do {
    const answer = await redis.call('HSCAN', privateKeys, cursor, 'MATCH', `*.${domain}`, 'COUNT', 1000);
    const [next, page] = answer as [string, readonly string[]];
    for (let i = 0; i + 1 < page.length; i += 2) {
      texts.set((page[i] ?? '').slice(0, -domain.length - 1), page[i + 1] ?? '');
    }
    cursor = next;
  } while (cursor !== '0');
  return texts;
}
