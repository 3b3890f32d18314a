/** Changes in one piece: each script compares with what was read before, so that what somebody wrote meanwhile is not written over. */
import type { RedisConnection } from './connection.ts';
import type { Mark, OneKeyHashes } from './one-key-state.ts';

/**
 * KEYS: private keys, marks. ARGV: field, text, the text that stood there or '', domain, mark, the mark that stood there or ''.
 * The private half stands there before anything names it.
 */
const stage = `
if (redis.call('HGET', KEYS[2], ARGV[4]) or '') ~= ARGV[6] then return 'changed' end
local there = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if there ~= ARGV[2] and there ~= ARGV[3] then return 'changed' end
redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
if there ~= ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 'done'`;

/**
 * KEYS: selectors, private keys, marks[, public keys]. ARGV: domain, selector, field, text of the private half, the selector that stood there or '',
 * mark, the mark that was staged, public key, the public key that stood there or ''.
 */
const swap = `
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[7] then return 'changed' end
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[5] then return 'changed' end
if KEYS[4] and (redis.call('HGET', KEYS[4], ARGV[1]) or '') ~= ARGV[9] then return 'changed' end
if redis.call('HGET', KEYS[2], ARGV[3]) ~= ARGV[4] then return 'changed' end
if KEYS[4] then redis.call('HSET', KEYS[4], ARGV[1], ARGV[8]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[6])
return 'done'`;

/** KEYS: selectors, private keys, marks. ARGV: domain, selector, field, its text or '', mark, the mark that stood there. Never the one in use. */
const drop = `
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[6] then return 'changed' end
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return 'changed' end
if (redis.call('HGET', KEYS[2], ARGV[3]) or '') ~= ARGV[4] then return 'changed' end
redis.call('HDEL', KEYS[2], ARGV[3])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[5])
return 'done'`;

/** KEYS: selectors, private keys, marks[, public keys]. ARGV: domain, selector, field, text. The domain leaves: what signs it goes too. */
const leave = `
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] and redis.call('HGET', KEYS[2], ARGV[3]) == ARGV[4] then
  redis.call('HDEL', KEYS[1], ARGV[1])
  if KEYS[4] then redis.call('HDEL', KEYS[4], ARGV[1]) end
end
if redis.call('HGET', KEYS[2], ARGV[3]) == ARGV[4] then redis.call('HDEL', KEYS[2], ARGV[3]) end
return 'done'`;

/**
 * KEYS: selectors, private keys, marks[, public keys]. ARGV: six for each domain: domain, selector, field, text, mark, public key. Only what
 * nothing stands in the way of; answers how many were put back, and the domains that were not.
 */
const putBack = `
local done, rest = 0, {}
for i = 1, #ARGV, 6 do
  local domain, field = ARGV[i], ARGV[i + 2]
  if redis.call('HGET', KEYS[1], domain) or redis.call('HGET', KEYS[2], field) or redis.call('HGET', KEYS[3], domain)
    or (KEYS[4] and redis.call('HGET', KEYS[4], domain)) then
    rest[#rest + 1] = domain
  else
    redis.call('HSET', KEYS[2], field, ARGV[i + 3])
    if KEYS[4] then redis.call('HSET', KEYS[4], domain, ARGV[i + 5]) end
    redis.call('HSET', KEYS[1], domain, ARGV[i + 1])
    redis.call('HSET', KEYS[3], domain, ARGV[i + 4])
    done = done + 1
  end
end
return {done, unpack(rest)}`;

/** Domains of one call: Redis does nothing else meanwhile. */
const putBackAtOnce = 200;

export interface PutBack {
  readonly domain: string;
  readonly selector: string;
  readonly text: string;
  readonly publicKey: string;
  readonly mark: Mark;
}

export type Changed = 'done' | 'changed';

/** A change of a domain's mark, from the text that stands there to another. */
export interface MarkChange {
  readonly domain: string;
  readonly from: string;
  readonly to: string;
}

export interface OneKeyScripts {
  /** `before`: the text that stood there, or null. */
  stage(mark: MarkChange, selector: string, text: string, before: string | null): Promise<Changed>;
  swap(
    mark: MarkChange,
    change: {
      readonly selector: string;
      readonly text: string;
      readonly publicKey: string;
      readonly before: { readonly selector: string | null; readonly publicKey: string | null };
    },
  ): Promise<Changed>;
  /** `text`: what stands there, or null. */
  drop(mark: MarkChange, selector: string, text: string | null): Promise<Changed>;
  leave(domain: string, selector: string, text: string): Promise<Changed>;
  /** Many domains of which nothing is left. Gives those that something was in the way of. */
  putBack(all: readonly PutBack[]): Promise<{ readonly done: number; readonly rest: readonly string[] }>;
}

export function oneKeyScripts(redis: RedisConnection, hashes: OneKeyHashes): OneKeyScripts {
  const { selectors, privateKeys, publicKeys, marks } = hashes;
  const keys = [selectors, privateKeys, marks, ...(publicKeys === null ? [] : [publicKeys])];
  const run = async (
    script: string,
    names: readonly string[],
    ...args: readonly (string | number)[]
  ): Promise<Changed> => {
    const answer = await redis.call('EVAL', script, names.length, ...names, ...args);
    if (answer === 'done' || answer === 'changed') return answer;
    throw new Error(`Redis at ${redis.name} gave an answer that its script does not have`);
  };
  return {
    stage: ({ domain, from, to }, selector, text, before) =>
      run(stage, [privateKeys, marks], `${selector}.${domain}`, text, before ?? '', domain, to, from),
    swap: ({ domain, from, to }, { selector, text, publicKey, before }) =>
      run(
        swap,
        keys,
        domain,
        selector,
        `${selector}.${domain}`,
        text,
        before.selector ?? '',
        to,
        from,
        publicKey,
        before.publicKey ?? '',
      ),
    drop: ({ domain, from, to }, selector, text) =>
      run(drop, [selectors, privateKeys, marks], domain, selector, `${selector}.${domain}`, text ?? '', to, from),
    async putBack(all) {
      let done = 0;
      const rest: string[] = [];
      for (let at = 0; at < all.length; at += putBackAtOnce) {
        const args = all
          .slice(at, at + putBackAtOnce)
          .flatMap(({ domain, selector, text, publicKey, mark }) => [
            domain,
            selector,
            `${selector}.${domain}`,
            text,
            JSON.stringify(mark),
            publicKey,
          ]);
        const answer = await redis.call('EVAL', putBack, keys.length, ...keys, ...args);
        const [count, ...left] = Array.isArray(answer) ? answer : [0];
        done += Number(count);
        rest.push(...left.map(String));
      }
      return { done, rest };
    },
    leave: (domain, selector, text) => run(leave, keys, domain, selector, `${selector}.${domain}`, text),
  };
}
