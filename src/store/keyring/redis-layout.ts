/**
 * Keyturn's own layout in Redis. Every key carries the same hash tag, so that one script can change a record and tell of it at once, in a
 * cluster too.
 *
 *     P:{keyrings}:meta        hash    epoch (of this filling), keyId, count (records), filled (the epoch, once all are there)
 *     P:{keyrings}:b:0 … 127   hash    domain → sealed record
 *     P:{keyrings}:changes     stream  d → domain; its ids are the change numbers
 *     P:{keyrings}:followers   hash    name → sealed registration
 *     P:{keyrings}:admitted    hash    name → the registration that the control plane waits for
 *     P:{keyrings}:lease:NAME  string  who goes by this name now
 *     P:{keyrings}:reports:NAME  hash  domain → sealed report
 *     P:{keyrings}:asked:NAME  set     domains whose keys are to be tested
 */
import { HEAD_BYTES } from './sealed-record.ts';

const BUCKETS = 128;

export interface RedisLayout {
  readonly meta: string;
  readonly changes: string;
  readonly followers: string;
  readonly admitted: string;
  readonly buckets: readonly string[];
  bucketOf(domain: string): string;
  lease(name: string): string;
  reports(name: string): string;
  asked(name: string): string;
}

export function redisLayout(prefix: string): RedisLayout {
  const key = (name: string) => `${prefix}:{keyrings}:${name}`;
  const buckets = Array.from({ length: BUCKETS }, (_, index) => key(`b:${index}`));
  return {
    meta: key('meta'),
    changes: key('changes'),
    followers: key('followers'),
    admitted: key('admitted'),
    buckets,
    bucketOf: (domain) => key(`b:${bucketNumber(domain)}`),
    lease: (name) => key(`lease:${name}`),
    reports: (name) => key(`reports:${name}`),
    asked: (name) => key(`asked:${name}`),
  };
}

/** FNV-1a: only spreads the domains, so that no reply grows large. */
function bucketNumber(domain: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < domain.length; i++) hash = Math.imul(hash ^ domain.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % BUCKETS;
}

/**
 * Puts records in place that are not older than those there, and tells of them.
 * KEYS: meta, changes, then the bucket of each record. ARGV: epoch, length of the stream, then domain, record and what it replaces whatever its
 * age ('' for nothing). Answers {'epoch'} where the filling is another one; else for each: 1 put, 2 the same was there, 0 a newer one is there.
 */
export const putScript = `
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'epoch'} end
local answers = {}
for i = 3, #KEYS do
  local at = 3 * (i - 2)
  local domain, record, replaced = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local old = redis.call('HGET', KEYS[i], domain)
  local verdict = 1
  if not old then
    redis.call('HINCRBY', KEYS[1], 'count', 1)
  elseif old ~= replaced and #old >= ${HEAD_BYTES} and string.byte(old, 1) == 1 then
    local oldBorn, oldGeneration = struct.unpack('>I8I8', old, 3)
    local born, generation = struct.unpack('>I8I8', record, 3)
    if oldBorn > born or (oldBorn == born and oldGeneration > generation) then verdict = 0
    elseif string.sub(old, 1, ${HEAD_BYTES}) == string.sub(record, 1, ${HEAD_BYTES}) then verdict = 2 end
  end
  if verdict == 1 then
    redis.call('HSET', KEYS[i], domain, record)
    redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[2], '*', 'd', domain)
  end
  answers[i - 2] = verdict
end
return answers`;

/** The heads of a bucket's records: domain, head, domain, head … */
export const headsScript = `
local all = redis.call('HGETALL', KEYS[1])
for i = 2, #all, 2 do all[i] = string.sub(all[i], 1, ${HEAD_BYTES}) end
return all`;

/** Begins a filling where there is none, or where one under another key is given up for this one. ARGV: epoch, key id, key id to be given up. */
export const beginScript = `
local epoch, keyId = redis.call('HGET', KEYS[1], 'epoch'), redis.call('HGET', KEYS[1], 'keyId')
if not epoch or (keyId ~= ARGV[2] and keyId == ARGV[3]) then
  if not epoch then redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'count', 0) end
  redis.call('HSET', KEYS[1], 'keyId', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'epoch', 'keyId', 'filled', 'count')`;

/** Says that all records are there. KEYS: meta. ARGV: epoch, number of records. */
export const filledScript = `
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'filled', ARGV[1], 'count', ARGV[2])
return 1`;

/**
 * Takes or keeps a name. KEYS: lease. ARGV: installation, boot, milliseconds, '1' to keep it. The same installation takes it over from an
 * earlier start of its own at once; another one waits until it ends. Who has it and finds a later start of itself is a copy of a data
 * folder. Answers 1, or who has it.
 */
export const leaseScript = `
local held = redis.call('GET', KEYS[1])
local mine = ARGV[1] .. ' ' .. ARGV[2]
if held and held ~= mine and (ARGV[4] == '1' or string.sub(held, 1, #ARGV[1] + 1) ~= ARGV[1] .. ' ') then return held end
redis.call('SET', KEYS[1], mine, 'PX', ARGV[3])
return 1`;

/** Takes away reports that are still as they were read. KEYS: reports. ARGV: domain, report … */
export const settleScript = `
local gone = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then gone = gone + redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return gone`;
