/**
 * The layout with many keys per domain (`key_prefix` alone): rspamd signs with every selector of its configuration whose private half stands in
 * the hash. So a key signs as soon as it stands there, and until it is taken away.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { publicKeyData } from '../../dkim/key-pair.ts';
import type { Keyring } from '../keyring.ts';
import type { SignerDependencies } from '../kind.ts';
import { rspamdKeyText } from '../rspamd-key-text.ts';
import { testReadBack } from '../rspamd-read-back.ts';
import type { RspamdProbe } from '../rspamd-test.ts';
import type { Delivery, FoundKey, Inspection, SelfTest, Signer } from '../signer.ts';
import type { RedisConnection } from './connection.ts';
import { createLossWatch, restoreAll } from './loss-watch.ts';
import { collision } from './one-field.ts';
import {
  digestOf,
  get,
  knownKeys,
  type Mark,
  many,
  publicHalf,
  readMark,
  scanKeys,
  wantedOf,
} from './one-key-state.ts';

export interface ManyKeysOptions {
  readonly kind: string;
  readonly redis: RedisConnection;
  /** Fields are `SELECTOR.DOMAIN`. */
  readonly privateKeys: string;
  readonly marks: string;
  readonly stream: string;
  /** Selectors that rspamd is configured for; null where a test message tells. */
  readonly selectors: ReadonlySet<string> | null;
  readonly replicas: number;
  readonly watchEvery: number;
  readonly probe: RspamdProbe | null;
  /** How long a message may be between its two looks into Redis, milliseconds. */
  readonly pause?: number;
}

/**
 * KEYS: private keys, marks. ARGV: domain, the mark that stood there or '', mark, number of fields, then for each: field, the text that stood there or '', the text
 * that is to stand there or ''. All of it or nothing.
 */
const change = `
if (redis.call('HGET', KEYS[2], ARGV[1]) or '') ~= ARGV[2] then return 'changed' end
for i = 0, tonumber(ARGV[4]) - 1 do
  if (redis.call('HGET', KEYS[1], ARGV[5 + 3 * i]) or '') ~= ARGV[6 + 3 * i] then return 'changed' end
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
for i = 0, tonumber(ARGV[4]) - 1 do
  local field, text = ARGV[5 + 3 * i], ARGV[7 + 3 * i]
  if text == '' then redis.call('HDEL', KEYS[1], field) else redis.call('HSET', KEYS[1], field, text) end
end
return 'done'`;

const attempts = 3;
const replicaWait = 2000;

interface Standing {
  readonly selector: string;
  /** A secret. */
  readonly text: string | null;
  /** Of the key that is to stand there; null for none. */
  readonly wanted: string | null;
  readonly half: string | null;
}

type Comparison =
  | { readonly kind: 'right' }
  | { readonly kind: 'foreign' | 'missing' | 'left'; readonly message: string };

export function createManyKeysSigner(
  options: ManyKeysOptions,
  { id, log }: Pick<SignerDependencies, 'id' | 'log'>,
): Signer {
  const { kind, redis, privateKeys, marks, stream, probe, pause = 2000 } = options;
  const where = redis.name;
  const delivered = new Map<string, Keyring>();
  const watch = createLossWatch({
    redis,
    marks,
    every: options.watchEvery,
    log,
    restore: () => restoreAll(delivered.values(), put),
  });
  const markText = async (domain: string) => (await get(redis, marks, domain)) ?? '';
  const markOf = async (domain: string) => readMark(await markText(domain));

  /** What stands there under every selector that is or was ours. */
  async function standing(keyring: Keyring, mark: Mark | null): Promise<readonly Standing[]> {
    const wanted = new Map(
      (keyring.streams[stream] ?? []).map((key) => [key.selector, publicKeyData(key.privateKey)] as const),
    );
    const other = (keyring.others ?? []).filter(({ state }) => state !== 'removed').map(({ selector }) => selector);
    const selectors = [...new Set([...wanted.keys(), ...Object.keys(mark?.keys ?? {}), ...other])];
    if (selectors.length === 0) return [];
    const texts = await many(
      redis,
      privateKeys,
      selectors.map((selector) => `${selector}.${keyring.domain}`),
    );
    return selectors.map((selector, index) => {
      const text = texts[index] ?? null;
      return { selector, text, wanted: wanted.get(selector) ?? null, half: publicHalf(text) };
    });
  }

  function compare(keyring: Keyring, there: readonly Standing[]): Comparison {
    const known = knownKeys(keyring);
    const names = (list: readonly Standing[]) => list.map(({ selector }) => selector).join(', ');
    const foreign = there.filter(
      ({ selector, text, wanted, half }) =>
        text !== null && half !== wanted && !(half !== null && known.get(selector)?.has(half)),
    );
    if (foreign.length > 0) {
      const message = `${where} has another key than ours under ${names(foreign)} of ${keyring.domain}.`;
      return { kind: 'foreign', message };
    }
    const missing = there.filter(({ wanted, half }) => wanted !== null && half !== wanted);
    if (missing.length > 0) {
      return { kind: 'missing', message: `${where} has no key of ours under ${names(missing)} of ${keyring.domain}.` };
    }
    const left = there.filter(({ wanted, text }) => wanted === null && text !== null);
    if (left.length === 0) return { kind: 'right' };
    return { kind: 'left', message: `${where} has ${names(left)} of ${keyring.domain}, which sign no more.` };
  }

  function refusalOf({ domain, mustSign, streams }: Keyring): string | null {
    const keys = streams[stream] ?? [];
    if (keys.length === 0 && mustSign) {
      return `${domain} must be signed and was handed over without a key: what stands at ${where} stays.`;
    }
    const unasked = keys.find(({ selector }) => options.selectors !== null && !options.selectors.has(selector));
    if (unasked === undefined) return null;
    return `rspamd is not configured for the selector ${unasked.selector} of ${domain}: let the policy use \`slots\` with the names in \`selectors\`, and rspamd's \`domain\` section list the same.`;
  }

  async function put(keyring: Keyring): Promise<Delivery> {
    const { domain, generation } = keyring;
    const keys = keyring.streams[stream];
    if (keys === undefined) return acknowledged(generation);
    const refusal = refusalOf(keyring);
    if (refusal !== null) return { kind: 'failed', message: refusal };
    for (const { selector } of keys) {
      const why = await collision(redis, { selectors: marks, privateKeys, publicKeys: null, marks }, domain, selector);
      if (why !== null) return { kind: 'failed', message: why };
    }
    const texts = new Map(keys.map((key) => [key.selector, rspamdKeyText(key.privateKey)] as const));
    for (let attempt = 0; attempt < attempts; attempt++) {
      const text = await markText(domain);
      const mark = readMark(text);
      if (mark !== null && mark.generation > generation) return acknowledged(mark.generation);
      const there = await standing(keyring, mark);
      const found = compare(keyring, there);
      if (found.kind === 'foreign' && keyring.overwrite !== true) {
        // Once more: another instance may have been changing it between two reads.
        if (attempt === 0) continue;
        return { kind: 'drifted', message: found.message };
      }
      const goes = there.filter(({ wanted, text }) => wanted === null && text !== null);
      const comes = there.filter(({ wanted, half }) => wanted !== null && half !== wanted);
      const stays = there.filter(({ wanted, half }) => wanted !== null && half === wanted);
      const all = Object.fromEntries(
        there.flatMap(({ selector, wanted }) => (wanted === null ? [] : [[selector, digestOf(wanted)]])),
      );
      const left = Object.fromEntries(
        goes.flatMap(({ selector, half }) => (half === null ? [] : [[selector, digestOf(half)]])),
      );
      const apart = stays.length === 0 && comes.length > 0 && goes.length > 0;
      const [from, to] = [
        { generation: mark?.generation ?? 0, keys: { ...all, ...left } },
        { generation, keys: all },
      ];
      if (apart) {
        // A message may have looked for the new key before it came, and look for the old one after it went.
        if ((await write(domain, text, from, comes, texts)) !== 'done') continue;
        await sleep(pause);
      }
      const before = apart ? JSON.stringify(from) : text;
      const done = await write(domain, before, to, apart ? goes : [...comes, ...goes], texts);
      if (done === 'done') return confirmed(keyring);
    }
    return {
      kind: 'pending',
      message: `Somebody else is changing ${domain} at ${where} at this moment; tried again soon.`,
    };
  }

  async function write(
    domain: string,
    before: string,
    mark: Mark,
    fields: readonly Standing[],
    texts: ReadonlyMap<string, string>,
  ): Promise<unknown> {
    const args = fields.flatMap(({ selector, text, wanted }) => [
      `${selector}.${domain}`,
      text ?? '',
      wanted === null ? '' : (texts.get(selector) ?? ''),
    ]);
    return redis.call(
      'EVAL',
      change,
      2,
      privateKeys,
      marks,
      domain,
      before,
      JSON.stringify(mark),
      fields.length,
      ...args,
    );
  }

  async function confirmed(keyring: Keyring): Promise<Delivery> {
    const { domain, generation } = keyring;
    if (options.replicas > 0) {
      const took = Number(await redis.call('WAIT', options.replicas, replicaWait));
      if (took < options.replicas) {
        return {
          kind: 'pending',
          message: `${took} of ${options.replicas} replicas of ${where} have taken the change of ${domain}.`,
        };
      }
    }
    const mark = await markOf(domain);
    const found = compare(keyring, await standing(keyring, mark));
    if (found.kind !== 'right') return { kind: 'failed', message: `Read back after writing: ${found.message}` };
    delivered.set(domain, keyring);
    return acknowledged(mark?.generation ?? generation);
  }

  async function inspect(keyring: Keyring): Promise<Inspection> {
    if ((keyring.streams[stream] ?? []).length === 0) {
      // It left by another instance: nothing of it is put back when Redis loses everything.
      if (!keyring.mustSign) delivered.delete(keyring.domain);
      return { kind: 'as-delivered' };
    }
    try {
      const mark = await markOf(keyring.domain);
      const found = compare(keyring, await standing(keyring, mark));
      if (found.kind === 'right') {
        if (mark !== null && mark.generation >= keyring.generation) delivered.set(keyring.domain, keyring);
        return { kind: 'as-delivered' };
      }
      // A key that signs no more and is there again: by an older state that was restored, or by somebody's hand.
      const older = mark === null || mark.generation < keyring.generation;
      const lost = found.kind === 'missing' || (found.kind === 'left' && older);
      return { kind: lost ? 'lost' : 'changed', message: found.message };
    } catch (error) {
      return { kind: 'unknown', message: error instanceof Error ? error.message : String(error) };
    }
  }

  async function forget(domain: string): Promise<void> {
    delivered.delete(domain);
    const mark = await markOf(domain);
    const ours = Object.entries(mark?.keys ?? {});
    const fields = ours.map(([selector]) => `${selector}.${domain}`);
    const texts = fields.length === 0 ? [] : await many(redis, privateKeys, fields);
    for (const [index, [, digest]] of ours.entries()) {
      const half = publicHalf(texts[index] ?? null);
      if (half !== null && digestOf(half) === digest) await redis.call('HDEL', privateKeys, fields[index] ?? '');
    }
    await redis.call('HDEL', marks, domain);
  }

  async function selfTest(domain: string, its: string, selector: string): Promise<SelfTest> {
    const name = `${selector}._domainkey.${domain}`;
    if (its !== stream) {
      const message = `Testing ${name}: ${id} signs the stream "${stream}" alone; list it in its \`signs.streams\``;
      return { kind: 'failed', message };
    }
    const key = delivered.get(domain)?.streams[its]?.find((each) => each.selector === selector);
    if (key === undefined) {
      return { kind: 'failed', message: `Testing ${name}: it is not among the keys that were handed to ${id} last` };
    }
    const { key: publicKey } = wantedOf(key);
    if (probe !== null) return probe.test(domain, selector, publicKey);
    try {
      return await testReadBack(
        { domain, selector },
        await get(redis, privateKeys, `${selector}.${domain}`),
        publicKey,
      );
    } catch (error) {
      return { kind: 'failed', message: `Testing ${name}: ${error instanceof Error ? error.message : String(error)}` };
    }
  }

  return {
    id,
    kind,
    async load() {
      watch.start();
    },
    deliver: put,
    forget,
    selfTest,
    inspect,
    async found(domain): Promise<readonly FoundKey[]> {
      const texts = await scanKeys(redis, privateKeys, domain);
      // Where the selectors are not listed rspamd is asked: entries of subdomains end alike, and any may lie there unused.
      const signing =
        options.selectors ??
        new Set(
          (await (probe?.signatures(domain) ?? [])).flatMap((each) => (each.domain === domain ? [each.selector] : [])),
        );
      return [...texts].map(([selector, privateKey]) => ({ selector, privateKey, inUse: signing.has(selector) }));
    },
    async close() {
      await watch.stop();
      redis.close();
    },
  };
}

function acknowledged(generation: number): Delivery {
  return { kind: 'acknowledged', generation };
}
