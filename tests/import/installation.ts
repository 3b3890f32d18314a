/** A mailcow installation as people have it: keys in use, keys forgotten, helper domains, and what belongs to nothing. */
import type { Redis } from 'ioredis';
import { generateKeyPair, publicKeyData } from '../../src/dkim/key-pair.ts';

export interface Pair {
  readonly pem: string;
  readonly publicKey: string;
}

/** As mailcow's PHP writes them: PKCS#8 in PEM, line feeds, no final one. */
export async function makePair(bits: 2048 | 4096 = 2048): Promise<Pair> {
  const { privateKey } = await generateKeyPair({ algorithm: 'rsa', bits });
  return {
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().trim(),
    publicKey: publicKeyData(privateKey),
  };
}

export interface Entry {
  readonly domain: string;
  readonly selector: string;
  readonly pair: Pair;
}

/** What signs a domain in mailcow. */
export async function putActive(redis: Redis, { domain, selector, pair }: Entry): Promise<void> {
  await redis.hset('DKIM_PUB_KEYS', domain, pair.publicKey);
  await redis.hset('DKIM_SELECTORS', domain, selector);
  await redis.hset('DKIM_PRIV_KEYS', `${selector}.${domain}`, pair.pem);
  await redis.hset('DOMAIN_MAP', domain, '1');
}

/** A line of a zone file with the record as mailcow proposes it, in strings of 255 octets. */
export function mailcowRecord(name: string, publicKey: string): string {
  const strings = `v=DKIM1;k=rsa;t=s;s=email;p=${publicKey}`.match(/.{1,250}/g) ?? [];
  return `${name}. IN TXT ${strings.map((each) => `"${each}"`).join(' ')}`;
}

const names = ['DKIM_PUB_KEYS', 'DKIM_SELECTORS', 'DKIM_PRIV_KEYS'] as const;

/** The three hashes, octet by octet. */
export async function hashesOf(redis: Redis): Promise<Record<string, Record<string, string>>> {
  const entries = await Promise.all(
    names.map(async (name) => {
      const hash = await redis.hgetall(name);
      return [name, Object.fromEntries(Object.entries(hash).sort(([a], [b]) => (a < b ? -1 : 1)))] as const;
    }),
  );
  return Object.fromEntries(entries);
}
