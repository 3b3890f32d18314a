import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { redisLayout } from '../../src/store/keyring/redis-layout.ts';
import { need } from '../support/need.ts';
import { waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import {
  addActive,
  addressOf,
  keepSending,
  lines,
  made,
  openScene,
  rotate,
  type Scene,
  signedBy,
  startControl,
  startMilter,
  writeForeignKey,
} from './support.ts';

const layout = redisLayout('keyturn');
const domain = 'one.test';

/** Sends without a pause while something happens to Redis; every message must have been signed, by one of these selectors. */
async function throughout(scene: Scene, selectors: readonly string[], what: () => Promise<void>): Promise<void> {
  const sending = keepSending(scene.milter, domain);
  try {
    await what();
  } finally {
    const counts = await sending.stop();
    expect([...counts.keys()].filter((key) => !selectors.includes(key))).toEqual([]);
    expect(counts.size).toBeGreaterThan(0);
  }
}

describe.skipIf(!need('redis-server', 'redis-server'))('mail is signed, and changes arrive', () => {
  test('where Redis is restarted and has forgotten everything', async () => {
    await using scene = await openScene([domain]);
    await throughout(scene, ['s1', 's2', 's3'], async () => {
      await scene.redis.restart();
      await scene.changeComesThrough(domain, 's2');
      await scene.redis.kill();
      await rotate(scene.store, domain, 's3');
      await waitFor(() => scene.control.role.publisher.status().trouble !== null, { what: 'the trouble to be known' });
      await scene.redis.start();
      await waitFor(async () => (await signedBy(scene.milter, domain)) === 's3', { what: 's3 to sign' });
    });
    expect(scene.control.role.publisher.status()).toMatchObject({ trouble: null, isUpToDate: true });
  });

  test('where Redis is emptied, and only a part of it is lost', async () => {
    await using scene = await openScene([domain, 'two.test']);
    await throughout(scene, ['s1', 's2', 's3'], async () => {
      await scene.redis.flush();
      await scene.changeComesThrough(domain, 's2');
      await waitFor(async () => (await scene.redis.client.hget(layout.meta, 'count')) === '2', { what: 'the refill' });
      // Evicted, or deleted by hand: a milter that starts now must not take the rest for the whole.
      await scene.redis.client.del(layout.bucketOf('two.test'));
      using other = tempDir('mx2');
      await expect(
        startMilter(other, scene.home, addressOf(scene.redis), { name: 'mx2', signal: AbortSignal.timeout(1500) }),
      ).rejects.toThrow();
      await scene.changeComesThrough(domain, 's3');
    });
    expect(await signedBy(scene.milter, 'two.test')).toBe('s1');
  });

  test('where Redis takes no writes for a while', async () => {
    await using scene = await openScene([domain]);
    await throughout(scene, ['s1', 's2'], async () => {
      await scene.redis.client.config('SET', 'min-replicas-to-write', '1');
      await rotate(scene.store, domain, 's2');
      await waitFor(() => scene.control.role.publisher.status().trouble?.includes('NOREPLICAS') === true, {
        what: 'the refusal to be known',
      });
      expect(scene.control.role.publisher.status().trouble).toContain('takes no writes');
      await scene.redis.client.config('SET', 'min-replicas-to-write', '0');
      await waitFor(async () => (await signedBy(scene.milter, domain)) === 's2', { what: 's2 to sign' });
      await waitFor(async () => (await scene.acknowledged(domain)) === 2, { what: 'the acknowledgement' });
    });
  });

  test('where Redis answers late, and not at all', async () => {
    await using scene = await openScene([domain]);
    await throughout(scene, ['s1', 's2', 's3'], async () => {
      await scene.redis.pause(800);
      await scene.changeComesThrough(domain, 's2');
      scene.redis.freeze();
      await rotate(scene.store, domain, 's3');
      await waitFor(() => scene.control.role.publisher.status().trouble !== null, {
        what: 'the silence to be noticed',
      });
      expect(await signedBy(scene.milter, domain)).toBe('s2');
      scene.redis.thaw();
      await waitFor(async () => (await signedBy(scene.milter, domain)) === 's3', { what: 's3 to sign' });
    });
  });

  test('where Redis is gone for long and the milter is started again meanwhile, from its disk', async () => {
    await using scene = await openScene([domain]);
    await scene.changeComesThrough(domain, 's2');
    await scene.redis.kill();
    expect(await signedBy(scene.milter, domain)).toBe('s2');
    await scene.milter.stop();
    scene.milter = await startMilter(scene.elsewhere, scene.home, addressOf(scene.redis));
    expect(await signedBy(scene.milter, domain)).toBe('s2');
    await scene.redis.start();
    await scene.changeComesThrough(domain, 's3');
  });

  test('where the control plane is gone: milters start again, new ones wait until it is back', async () => {
    await using scene = await openScene([domain]);
    await scene.control.role.stop();
    await scene.milter.stop();
    scene.milter = await startMilter(scene.elsewhere, scene.home, addressOf(scene.redis));
    expect(await signedBy(scene.milter, domain)).toBe('s1');
    using other = tempDir('mx2');
    const starting = startMilter(other, scene.home, addressOf(scene.redis), { name: 'mx2' });
    starting.catch(() => undefined);
    await waitFor(() => lines.some((line) => line.includes('waiting-to-be-known')), { what: 'it to wait' });
    await using _again = await startControl(scene.home, addressOf(scene.redis), { store: scene.store, instance: 'b' });
    await using second = await starting;
    expect(await signedBy(second, domain)).toBe('s1');
    await waitFor(
      async () => (await scene.store.snapshot(domain))?.snapshot.signers.some(({ id }) => id === 'mx2') === true,
      { what: 'the domain to know it' },
    );
  });
});

describe.skipIf(!need('redis-server', 'redis-server'))('what stands in Redis and should not', () => {
  test('an older generation, a record of another domain, and what nobody sealed change nothing', async () => {
    await using scene = await openScene([domain, 'two.test']);
    const { client } = scene.redis;
    const tell = (name: string) => client.xadd(layout.changes, '*', 'd', name);
    const bucket = layout.bucketOf(domain);
    const old = await client.hgetBuffer(bucket, domain);
    const foreign = await client.hgetBuffer(layout.bucketOf('two.test'), 'two.test');
    if (old === null || foreign === null) throw new Error('nothing stands there');
    await scene.changeComesThrough(domain, 's2');
    for (const record of [old, foreign, Buffer.from('nonsense'), Buffer.concat([old.subarray(0, -1), Buffer.of(1)])]) {
      const refused = scene.milter.follower.status.refused;
      await client.hset(bucket, domain, record);
      await tell(domain);
      await waitFor(() => scene.milter.follower.status.refused > refused, { what: 'it to be refused' });
      expect(await signedBy(scene.milter, domain)).toBe('s2');
    }
    // A milter that never had the domain puts its mail off, and signs that of the others.
    using other = tempDir('mx2');
    await using second = await startMilter(other, scene.home, addressOf(scene.redis), { name: 'mx2' });
    expect(await signedBy(second, domain)).toBe('tempfailed');
    expect(await signedBy(second, 'two.test')).toBe('s1');
    // The control plane puts its own in place of what it cannot open.
    await scene.changeComesThrough(domain, 's3');
    await waitFor(async () => (await signedBy(second, domain)) === 's3', { what: 'the other one to sign again' });
  });

  test('another key of keyrings ends a start, and a control plane that would fill, in words', async () => {
    await using scene = await openScene([domain]);
    using other = tempDir('other');
    writeForeignKey(other);
    await expect(startMilter(other, other, addressOf(scene.redis), { name: 'mx2' })).rejects.toThrow(
      /sealed under the key [0-9a-f]{16}, and at hand is [0-9a-f]{16}: copy keyrings.key/,
    );
    using none = tempDir('none');
    await expect(startMilter(none, none, addressOf(scene.redis), { name: 'mx2' })).rejects.toThrow(/keyrings.key/);
    await using stranger = await startControl(other, addressOf(scene.redis), { instance: 'stranger' });
    await waitFor(() => stranger.role.publisher.status().trouble?.includes('same keyrings.key') === true, {
      what: 'it to be refused',
    });
    await scene.changeComesThrough(domain, 's2');
  });

  test('a second milter of the same name is refused; one of the same folder takes over', async () => {
    await using scene = await openScene([domain]);
    using other = tempDir('other');
    await expect(startMilter(other, scene.home, addressOf(scene.redis))).rejects.toThrow(/goes by the name "mx1"/);
    await scene.milter.stop();
    scene.milter = await startMilter(scene.elsewhere, scene.home, addressOf(scene.redis));
    expect(await signedBy(scene.milter, domain)).toBe('s1');
  });

  test('a domain that leaves goes from the milters, and comes back with keys of its own', async () => {
    await using scene = await openScene([domain, 'two.test']);
    const stored = await scene.store.snapshot('two.test');
    if (stored === null) throw new Error('two.test is not there');
    const event = { actor: 'test', source: 'cli', domain: 'two.test', kind: 'domain-removed', details: {} };
    await scene.store.commit(
      { name: 'two.test', version: stored.version },
      { before: stored.snapshot, after: null, events: [event] },
    );
    await waitFor(async () => (await signedBy(scene.milter, 'two.test')) === 'unsigned', { what: 'it to go' });
    await addActive(scene.store, 'two.test', 'again');
    await waitFor(async () => (await signedBy(scene.milter, 'two.test')) === 'again', { what: 'it to come back' });
    expect(await signedBy(scene.milter, domain)).toBe('s1');
  });

  test('two control planes fill and collect side by side without harm', async () => {
    await using scene = await openScene([domain, 'two.test', 'three.test']);
    await using second = await startControl(scene.home, addressOf(scene.redis), { store: scene.store, instance: 'b' });
    await scene.changeComesThrough(domain, 's2');
    await scene.redis.flush();
    await scene.changeComesThrough('two.test', 's2');
    await scene.control.role.stop();
    await scene.changeComesThrough('three.test', 's2');
    expect(second.role.publisher.status()).toMatchObject({ trouble: null, newerThere: [] });
  });

  test('a store that is older than what was published is told of, and withdraws nothing', async () => {
    await using scene = await openScene([domain]);
    await scene.changeComesThrough(domain, 's2');
    await scene.control.role.stop();
    using dir = tempDir('old');
    // The same key file, and a store that knows another domain and not this one.
    const key = readFileSync(scene.home.join('keyrings.key'));
    writeFileSync(dir.join('keyrings.key'), key, { mode: 0o600 });
    await using old = await startControl(dir, addressOf(scene.redis), { instance: 'old' });
    await waitFor(() => old.role.publisher.status().isUpToDate, { what: 'it to compare' });
    expect(lines.some((line) => line.includes('unknown-keyring-in-redis'))).toBe(true);
    expect(await signedBy(scene.milter, domain)).toBe('s2');
  });
});

describe.skipIf(!need('redis-server', 'redis-server'))('private keys', () => {
  test('never lie in Redis, on its disk, on the wire, in caches or logs as they are', async () => {
    await using scene = await openScene([domain], { persistent: true });
    const monitored: string[] = [];
    const monitor = await scene.redis.client.monitor();
    monitor.on('monitor', (_time: string, args: string[]) => void monitored.push(args.join(' ')));
    await scene.changeComesThrough(domain, 's2');
    await scene.redis.client.bgsave().catch(() => undefined);
    const cached = readdirSync(scene.elsewhere.join('keyrings')).map((name) =>
      readFileSync(scene.elsewhere.join('keyrings', name)),
    );
    const written = [
      scene.redis.onDisk(),
      ...cached,
      Buffer.from(monitored.join('\n'), 'latin1'),
      Buffer.from(lines.join('')),
    ];
    monitor.disconnect();
    expect(written.every((bytes) => bytes.length > 100)).toBe(true);
    expect(made.length).toBeGreaterThan(1);
    for (const der of made) {
      // The last 32 octets are the secret itself.
      const secret = der.subarray(-32);
      const forms = [secret, Buffer.from(secret.toString('hex')), Buffer.from(secret.toString('base64').slice(0, 40))];
      const inDer = Buffer.from(der.toString('base64').slice(24, 60));
      for (const bytes of written) for (const form of [...forms, inDer]) expect(bytes.includes(form)).toBe(false);
    }
  });
});
