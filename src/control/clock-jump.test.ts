import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { tempDir } from '../../tests/support/temp.ts';
import type { Clock } from '../lifecycle/clock.ts';
import { configSchema } from './config/schema.ts';
import { silentLog } from './log.ts';
import { addDomain } from './operations.ts';
import { startServer } from './server.ts';

const day = 86_400_000;

test('a clock that is set back is journalled, and no domain waits until it has caught up', async () => {
  using dir = tempDir('clock-jump');
  let offset = 0;
  const clock: Clock = { now: () => Date.now() + offset };
  const config = configSchema.parse({
    roles: { milter: false, dns: false },
    // Nobody answers there: what is looked at here is when, not what.
    proof: { mode: 'recursive', resolvers: ['127.0.0.1:9'], timeout: '200ms' },
    reconcile: { interval: '50ms', keysAhead: 0 },
  });
  const dataFolder = join(dir.path, 'data');
  const loaded = { file: null, config, dataFolder, kekFile: join(dataFolder, 'kek') };
  await using server = await startServer({ loaded, env: {}, clock, log: silentLog });
  const { store } = server;
  await addDomain(
    { store, clock, actor: { name: 'olga', source: 'cli' } },
    { name: 'example.test', kind: 'mail', policy: 'default', bindings: [] },
  );
  const until = async (holds: () => Promise<boolean>) => {
    while (!(await holds())) await sleep(20);
  };
  const lastLook = async () => (await store.snapshot('example.test'))?.snapshot.domain.lastLookAt ?? null;
  await until(async () => (await lastLook()) !== null);
  offset = -30 * day;
  await until(async () => ((await lastLook()) ?? Number.POSITIVE_INFINITY) <= clock.now());
  await until(async () => (await store.journal.list({})).items.some(({ kind }) => kind === 'clock-jumped'));
  const jump = (await store.journal.list({})).items.find(({ kind }) => kind === 'clock-jumped');
  expect(jump).toMatchObject({ domain: null, source: 'serve' });
  const { milliseconds } = (jump?.details as { milliseconds: number } | undefined) ?? { milliseconds: 0 };
  expect(Math.abs(milliseconds + 30 * day)).toBeLessThan(60_000);
  expect(await store.journal.verify()).toMatchObject({ kind: 'intact' });
});
