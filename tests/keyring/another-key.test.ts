import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { redisLayout } from '../../src/store/keyring/redis-layout.ts';
import { need } from '../support/need.ts';
import { waitFor } from '../support/processes.ts';
import type { TempDir } from '../support/temp.ts';
import { tempDir } from '../support/temp.ts';
import { addressOf, openScene, signedBy, startControl, startMilter } from './support.ts';

const layout = redisLayout('keyturn');

describe.skipIf(!need('redis-server', 'redis-server'))('another key for the keyrings', () => {
  test('comes in by the steps of docs/redis.md, and no message waits for it', async () => {
    await using scene = await openScene(['one.test']);
    using milterKey = tempDir('key');
    const [old = ''] = readFileSync(scene.home.join('keyrings.key'), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    const next = Buffer.alloc(32, 7).toString('base64');
    const write = (dir: TempDir, keys: string[]) =>
      writeFileSync(dir.join('keyrings.key'), `${keys.join('\n')}\n`, { mode: 0o600 });
    const restartMilter = async () => {
      await scene.milter.stop();
      scene.milter = await startMilter(scene.elsewhere, milterKey, addressOf(scene.redis));
    };
    write(milterKey, [old, next]);
    await restartMilter();
    await scene.changeComesThrough('one.test', 's2');

    await scene.control.role.stop();
    write(scene.home, [next, old]);
    await using second = await startControl(scene.home, addressOf(scene.redis), { store: scene.store });
    await waitFor(() => second.role.publisher.status().isUpToDate, { what: 'everything to be sealed anew' });
    expect(await scene.redis.client.hget(layout.meta, 'keyId')).not.toBe(null);
    await scene.changeComesThrough('one.test', 's3');

    write(milterKey, [next]);
    await restartMilter();
    expect(await signedBy(scene.milter, 'one.test')).toBe('s3');
    await scene.changeComesThrough('one.test', 's4');
    // And by what it has on disk, which is sealed under the new one alone now.
    await scene.redis.kill();
    await restartMilter();
    expect(await signedBy(scene.milter, 'one.test')).toBe('s4');
  });
});
