import { Cluster, Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { need } from '../support/need.ts';
import { startRedis, startRedisCluster, startRedisReplicas } from '../support/redis.ts';

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

  test('forms a cluster, and fails over under Sentinel', async () => {
    await using cluster = await startRedisCluster();
    const clustered = new Cluster([...cluster.nodes]);
    for (let i = 0; i < 20; i++) await clustered.set(`key-${i}`, i);
    expect(await clustered.get('key-7')).toBe('7');
    clustered.disconnect();

    await using replicas = await startRedisReplicas();
    const client = new Redis({ sentinels: [replicas.sentinel], name: replicas.name });
    client.on('error', () => undefined);
    await client.set('a', '1');
    await client.wait(1, 1000);
    await replicas.master.kill();
    expect(await client.get('a')).toBe('1');
    await replicas.replica.client.ping();
    client.disconnect();
  }, 20_000);
});
