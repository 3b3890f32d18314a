/**
 * Marks of the journal in Redis, beside the keyrings: a machine that is put back as a whole finds there what it did since. Whoever may write to
 * Redis can make a mark up, and so keep a server from starting; more than that a mark cannot do.
 */
import type { RedisLink } from '../store/keyring/redis-connection.ts';
import { errorText, type Log } from './log.ts';
import { type Mark, parseMark, type Witness } from './witness.ts';

/** Redis may be away: then it says nothing, and the other witnesses decide. */
export function redisWitness(link: RedisLink, prefix: string, instance: string, log: Log): Witness {
  const key = `${prefix}:{keyrings}:witness`;
  let silent = false;
  const trying = async <T>(task: () => Promise<T>, otherwise: T): Promise<T> => {
    try {
      const result = await task();
      silent = false;
      return result;
    } catch (error) {
      if (!silent) log.warn('witness-not-reached', { redis: link.name, error: errorText(error) });
      silent = true;
      return otherwise;
    }
  };
  return {
    name: `Redis at ${link.name}`,
    read: () =>
      trying<readonly Mark[]>(async () => {
        const values = await link.call('HVALS', key);
        return Array.isArray(values) ? values.map((value) => parseMark(String(value))) : [];
      }, []),
    write: (mark) =>
      trying(async () => {
        await link.call('HSET', key, instance, JSON.stringify(mark));
      }, undefined),
  };
}
