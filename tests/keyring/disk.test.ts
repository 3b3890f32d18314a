import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { need } from '../support/need.ts';
import { addressOf, lines, openScene, signedBy, startMilter } from './support.ts';

describe.skipIf(!need('redis-server', 'redis-server'))('the disk of a milter', () => {
  test('that fails costs no message: changes arrive, and nothing old is left to start from', async () => {
    await using scene = await openScene(['one.test']);
    await scene.changeComesThrough('one.test', 's2');
    const folder = scene.elsewhere.join('keyrings');
    expect(readdirSync(folder).toSorted()).toEqual(['keyrings.cache', 'keyrings.log']);
    // What it holds open is beyond reach of permissions for root: the folder goes, and a file stands in its place.
    await scene.milter.stop();
    rmSync(folder, { recursive: true });
    writeFileSync(folder, 'not a folder');
    scene.milter = await startMilter(scene.elsewhere, scene.home, addressOf(scene.redis)).catch((error: Error) => {
      throw new Error(`it did not start without its disk: ${error.message}`);
    });
    expect(lines.some((line) => line.includes('keyrings-not-kept'))).toBe(true);
    expect(await signedBy(scene.milter, 'one.test')).toBe('s2');
    await scene.changeComesThrough('one.test', 's3');
    // Put right, it keeps them again at its next start.
    rmSync(folder);
    mkdirSync(folder);
    await scene.milter.stop();
    scene.milter = await startMilter(scene.elsewhere, scene.home, addressOf(scene.redis));
    expect(existsSync(scene.elsewhere.join('keyrings/keyrings.cache'))).toBe(true);
    await scene.redis.kill();
    await scene.milter.stop();
    scene.milter = await startMilter(scene.elsewhere, scene.home, addressOf(scene.redis));
    expect(await signedBy(scene.milter, 'one.test')).toBe('s3');
  });
});
