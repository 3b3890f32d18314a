import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { tempDir } from '../../tests/support/temp.ts';
import { systemClock } from '../lifecycle/clock.ts';
import { loadConfig } from './config/load.ts';
import { openStore } from './open-store.ts';

test('a key file that is lost beside its store is asked for, not made anew', async () => {
  using dir = tempDir('open-store');
  const env = { KEYTURN_CONFIG: undefined };
  const loaded = { ...loadConfig(undefined, { env, workingFolder: dir.path }), dataFolder: dir.join('data') };
  const kekFile = dir.join('data', 'kek');
  const open = () =>
    openStore({ ...loaded, kekFile }, { env, clock: systemClock, actor: { name: 'someone', source: 'cli' } });
  await (await open()).close();
  await (await open()).close();
  rmSync(kekFile);
  await expect(open()).rejects.toMatchObject({ code: 'bad-kek', message: expect.stringContaining(kekFile) });
  expect(existsSync(kekFile)).toBe(false);
});

test('a data folder that cannot be made is refused with advice, also where making parents would never end', async () => {
  using dir = tempDir('open-store');
  const env = {};
  const loaded = loadConfig(undefined, { env, workingFolder: dir.path });
  writeFileSync(dir.join('file'), '');
  const actor = { name: 'someone', source: 'cli' } as const;
  for (const dataFolder of ['/proc/keyturn/data', dir.join('file', 'data')]) {
    const kekFile = `${dataFolder}/kek`;
    await expect(openStore({ ...loaded, dataFolder, kekFile }, { env, clock: systemClock, actor })).rejects.toThrow(
      /cannot make the data folder .*set `data:`/,
    );
  }
});
