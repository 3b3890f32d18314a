import { existsSync, rmSync } from 'node:fs';
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
