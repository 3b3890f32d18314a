/** Changes in one piece: each script compares with what was read before, so that what somebody wrote meanwhile is not written over. */
import type { RedisConnection } from './connection.ts';
import type { Mark, OneKeyHashes } from './one-key-state.ts';

/**
 * KEYS: private keys, marks. ARGV: field, text, the text that stood there or '', domain, mark.
 * The private half stands there before anything names it.
 */
const stage = `
local there = redis.call('HGET', KEYS[1], ARGV[1])
if there == ARGV[2] then
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
  return 'done'
end
if (there or '') ~= ARGV[3] then return 'changed' end
redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 'done'`;

/**
 * KEYS: selectors, private keys, marks[, public keys]. ARGV: domain, selector, field, text of the private half, the selector that stood there or '',
 * mark, generation, public key, the public key that stood there or ''.
 */
const swap = `
local mark = redis.call('HGET', KEYS[3], ARGV[1])
if mark then
  local read, before = pcall(cjson.decode, mark)
  if read and type(before) == 'table' and (tonumber(before.generation) or 0) > tonumber(ARGV[7]) then return 'older' end
end
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[5] then return 'changed' end
if KEYS[4] and (redis.call('HGET', KEYS[4], ARGV[1]) or '') ~= ARGV[9] then return 'changed' end
if redis.call('HGET', KEYS[2], ARGV[3]) ~= ARGV[4] then return 'changed' end
if KEYS[4] then redis.call('HSET', KEYS[4], ARGV[1], ARGV[8]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[6])
return 'done'`;

/** KEYS: selectors, private keys, marks. ARGV: domain, selector, field, its text, mark. Never the one in use. */
const drop = `
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return 'changed' end
if redis.call('HGET', KEYS[2], ARGV[3]) ~= ARGV[4] then return 'changed' end
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

export type Changed = 'done' | 'changed' | 'older';

export interface OneKeyScripts {
  stage(field: string, text: string, before: string | null, domain: string, mark: Mark): Promise<Changed>;
  swap(change: {
    readonly domain: string;
    readonly selector: string;
    readonly text: string;
    readonly publicKey: string;
    readonly before: { readonly selector: string | null; readonly publicKey: string | null };
    readonly mark: Mark;
  }): Promise<Changed>;
  drop(domain: string, selector: string, text: string, mark: Mark): Promise<Changed>;
  leave(domain: string, selector: string, text: string): Promise<Changed>;
}

export function oneKeyScripts(redis: RedisConnection, hashes: OneKeyHashes): OneKeyScripts {
  const { selectors, privateKeys, publicKeys, marks } = hashes;
  const all = [selectors, privateKeys, marks, ...(publicKeys === null ? [] : [publicKeys])];
  const run = async (
    script: string,
    keys: readonly string[],
    ...args: readonly (string | number)[]
  ): Promise<Changed> => {
    const answer = await redis.call('EVAL', script, keys.length, ...keys, ...args);
    if (answer === 'done' || answer === 'changed' || answer === 'older') return answer;
    throw new Error(`Redis at ${redis.name} gave an answer that its script does not have`);
  };
  return {
    stage: (field, text, before, domain, mark) =>
      run(stage, [privateKeys, marks], field, text, before ?? '', domain, JSON.stringify(mark)),
    swap: ({ domain, selector, text, publicKey, before, mark }) =>
      run(
        swap,
        all,
        domain,
        selector,
        `${selector}.${domain}`,
        text,
        before.selector ?? '',
        JSON.stringify(mark),
        mark.generation,
        publicKey,
        before.publicKey ?? '',
      ),
    drop: (domain, selector, text, mark) =>
      run(drop, [selectors, privateKeys, marks], domain, selector, `${selector}.${domain}`, text, JSON.stringify(mark)),
    leave: (domain, selector, text) => run(leave, all, domain, selector, `${selector}.${domain}`, text),
  };
}
