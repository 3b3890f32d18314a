/** Marks in a real Redis: they notice an old store where the data folder went back with it, and never stand in the way when Redis is away. */
import { describe, expect, test } from 'vitest';
import { silentLog } from '../../src/control/log.ts';
import { redisWitness } from '../../src/control/redis-witness.ts';
import { storeAge } from '../../src/control/witness.ts';
import { connectRedis } from '../../src/store/keyring/redis-connection.ts';
import { openMemoryStore } from '../../src/store/open.ts';
import { need } from '../support/need.ts';
import { startRedis } from '../support/redis.ts';

describe.skipIf(!need('redis-server', 'redis-server'))('marks in Redis', () => {
  test('are every instance’s, and silent rather than in the way when Redis is away', { timeout: 30_000 }, async () => {
    await using redis = await startRedis();
    await using store = await openMemoryStore();
    const link = connectRedis({
      servers: [{ host: '127.0.0.1', port: redis.port }],
      cluster: false,
      database: 0,
      timeout: 1000,
    });
    const told: string[] = [];
    const log = { ...silentLog, warn: (event: string) => void told.push(event) };
    const [one, two] = ['one', 'two'].map((instance) => redisWitness(link, 'keyturn', instance, log));
    if (one === undefined || two === undefined) throw new Error('two witnesses were expected');
    try {
      expect(await one.read()).toEqual([]);
      await one.write({ seq: 900, hash: 'a'.repeat(64), at: 1 });
      await two.write({ seq: 901, hash: 'b'.repeat(64), at: 2 });
      await one.write({ seq: 905, hash: 'c'.repeat(64), at: 3 });
      expect((await two.read()).map(({ seq }) => seq).sort()).toEqual([901, 905]);
      expect(await storeAge(store, [two])).toMatchObject({ kind: 'older', mark: { seq: 905 } });
      expect(told).toEqual([]);

      await redis.stop();
      expect(await two.read()).toEqual([]);
      await two.write({ seq: 906, hash: 'd'.repeat(64), at: 4 });
      expect(await storeAge(store, [two])).toEqual({ kind: 'current' });
      expect(told).toEqual(['witness-not-reached']);
    } finally {
      await link.close();
    }
  });
});
