import { describe, expect, test } from 'vitest';
import { openMemoryStore } from '../../src/store/open.ts';
import { need } from '../support/need.ts';
import { waitFor } from '../support/processes.ts';
import { startRedis, startRedisCluster, startRedisReplicas } from '../support/redis.ts';
import { tempDir } from '../support/temp.ts';
import { addActive, rotate, signedBy, startControl, startMilter } from './support.ts';

const domains = ['one.test', 'two.test', 'three.test'];

/** A control plane and a milter over this Redis: what is there is signed, a change arrives and is acknowledged. */
async function works(
  redis: Readonly<Record<string, unknown>>,
  { milterRedis = redis, meanwhile }: { milterRedis?: typeof redis; meanwhile?: () => Promise<void> } = {},
): Promise<void> {
  using home = tempDir('control');
  using elsewhere = tempDir('mx');
  await using store = await openMemoryStore();
  for (const domain of domains) await addActive(store, domain);
  await using control = await startControl(home, redis, { store });
  await using milter = await startMilter(elsewhere, home, milterRedis);
  for (const domain of domains) expect(await signedBy(milter, domain)).toBe('s1');
  await meanwhile?.();
  for (const domain of domains) await rotate(store, domain, 's2');
  for (const domain of domains) {
    await waitFor(async () => (await signedBy(milter, domain)) === 's2', { what: `s2 of ${domain} to sign` });
    await waitFor(async () => (await store.snapshot(domain))?.snapshot.signers[0]?.acknowledgedGeneration === 2, {
      what: `${domain} to be acknowledged`,
    });
  }
  expect(control.role.publisher.status()).toMatchObject({ trouble: null });
}

describe.skipIf(!need('redis-server', 'redis-server') || !need('openssl', 'openssl'))('keyrings in Redis', () => {
  test('go over TLS, with a password, a database and a prefix of their own', async () => {
    await using redis = await startRedis({ password: 'a-secret-of-this-test', tls: true });
    const reach = {
      servers: [`127.0.0.1:${redis.port}`],
      password: 'a-secret-of-this-test',
      database: 3,
      prefix: 'site-a',
      tls: { ca: redis.tls?.ca, serverName: 'localhost' },
    };
    await works(reach);
    await redis.client.select(3);
    expect((await redis.client.keys('*')).every((key) => key.startsWith('site-a:{keyrings}:'))).toBe(true);
  });

  test('need no more rights than docs/redis.md lists', async () => {
    await using redis = await startRedis();
    const { aclLines } = await import('./acl-lines.ts');
    for (const line of aclLines()) await redis.client.call('ACL', ...line.split(' '));
    const reach = (username: string) => ({
      servers: [`127.0.0.1:${redis.port}`],
      username,
      password: `the-password-of-${username}`,
    });
    await works(reach('keyturn'), { milterRedis: reach('keyturn-milter') });
    using home = tempDir('control');
    await using refused = await startControl(home, { ...reach('keyturn-milter'), prefix: 'other' });
    await waitFor(() => refused.role.publisher.status().trouble?.includes('docs/redis.md') === true, {
      what: 'the missing right to be named',
    });
  });

  test('lie in a cluster', async () => {
    await using cluster = await startRedisCluster();
    await works({ servers: cluster.nodes.map(({ host, port }) => `${host}:${port}`), cluster: true });
  });

  test('survive a failover under Sentinel', async () => {
    await using replicas = await startRedisReplicas();
    const { host, port } = replicas.sentinel;
    await works(
      { servers: [`${host}:${port}`], sentinel: { name: replicas.name }, timeout: '1s' },
      { meanwhile: () => replicas.master.kill() },
    );
  });
});
