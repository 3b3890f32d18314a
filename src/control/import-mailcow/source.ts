/** Reads what a mailcow installation signs with, from its Redis or through its API. Nothing is written. */
import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import type { MailcowClient } from '../../signers/mailcow-api/client.ts';

/** mailcow's DKIM hashes. Values of private keys are secrets. */
export interface MailcowHashes {
  /** Domain → SubjectPublicKeyInfo in base64. */
  readonly publicKeys: ReadonlyMap<string, string>;
  /** Domain → the selector that signs. */
  readonly selectors: ReadonlyMap<string, string>;
  /** `selector.domain` → PEM. */
  readonly privateKeys: ReadonlyMap<string, string>;
  /** The mail and alias domains that mailcow knows; null where that cannot be told. */
  readonly domains: ReadonlySet<string> | null;
  /** False where the API keeps private keys to itself: other keys than the one that signs cannot be seen then either. */
  readonly complete: boolean;
}

export interface RedisSource {
  /** `redis://[user:password@]host:port[/database]`, `rediss://` for TLS. */
  readonly url: string;
  readonly password?: string;
  /** File of the authority that signed the server's certificate. */
  readonly ca?: string;
}

const scanCount = 1000;

/** @throws Error naming the server, never the password. */
export async function readMailcowRedis({ url, password, ca }: RedisSource): Promise<MailcowHashes> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 5000,
    commandTimeout: 30_000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    ...(password === undefined ? {} : { password }),
    ...(ca === undefined ? {} : { tls: { ca: readFileSync(ca) } }),
  });
  let cause = '';
  redis.on('error', (error: Error) => {
    cause = error.message;
  });
  try {
    await redis.connect();
    const hash = async (name: string): Promise<Map<string, string>> => {
      const entries = new Map<string, string>();
      let cursor = '0';
      do {
        const [next, page] = await redis.hscan(name, cursor, 'COUNT', scanCount);
        for (let i = 0; i + 1 < page.length; i += 2) entries.set(page[i] ?? '', page[i + 1] ?? '');
        cursor = next;
      } while (cursor !== '0');
      return entries;
    };
    const publicKeys = await hash('DKIM_PUB_KEYS');
    const selectors = await hash('DKIM_SELECTORS');
    const privateKeys = await hash('DKIM_PRIV_KEYS');
    const domains = new Set((await hash('DOMAIN_MAP')).keys());
    return { publicKeys, selectors, privateKeys, domains: domains.size > 0 ? domains : null, complete: true };
  } catch (error) {
    const { host, port } = redis.options;
    const why = cause !== '' ? cause : error instanceof Error ? error.message : String(error);
    throw new Error(
      `mailcow's Redis at ${host}:${port} cannot be read: ${why}. Its password is REDISPASS in mailcow.conf, its port REDIS_PORT (by default 127.0.0.1:7654).`,
    );
  } finally {
    redis.disconnect();
  }
}

/** The same by the API, for the domains that are named, or for all that mailcow has. */
export async function readMailcowApi(
  client: MailcowClient,
  named: readonly string[],
  progress: (done: number, of: number) => void = () => undefined,
): Promise<MailcowHashes> {
  const all = named.length > 0 ? null : await client.domains();
  const domains = all ?? named;
  const publicKeys = new Map<string, string>();
  const selectors = new Map<string, string>();
  const privateKeys = new Map<string, string>();
  let done = 0;
  const queue = [...domains];
  const worker = async (): Promise<void> => {
    for (let domain = queue.shift(); domain !== undefined; domain = queue.shift()) {
      const key = await client.key(domain);
      if (key !== null) {
        publicKeys.set(domain, key.publicKey);
        if (key.selector !== '') selectors.set(domain, key.selector);
        if (key.privateKey !== null) privateKeys.set(`${key.selector}.${domain}`, key.privateKey);
      }
      progress(++done, domains.length);
    }
  };
  await Promise.all(Array.from({ length: 6 }, worker));
  return { publicKeys, selectors, privateKeys, domains: all === null ? null : new Set(all), complete: false };
}
