import { describe, expect, test } from 'vitest';
import { need } from '../support/need.ts';
import { startRedis } from '../support/redis.ts';

describe.skipIf(!need('redis-server', 'redis-server'))('Redis of our own', () => {
  test('asks for its password over TLS, and forgets without persistence', async () => {
    await using redis = await startRedis({ password: 'secret-of-the-test', tls: true });
    await redis.client.set('a', '1');
    expect(await redis.client.get('a')).toBe('1');
    await redis.restart();
    expect(await redis.client.get('a')).toBeNull();
  });

  test('keeps what it was given on disk where it is to', async () => {
    await using redis = await startRedis({ persistent: true });
    await redis.client.set('a', 'on the disk');
    expect(redis.onDisk().includes('on the disk')).toBe(true);
    await redis.kill();
    await redis.start();
    expect(await redis.client.get('a')).toBe('on the disk');
  });
});
