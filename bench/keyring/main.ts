/** `npm run bench keyring [-- --domains 100000 --write]`: milters that follow Redis: how fast they start, how soon a change is with all of them. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createKeyringPublisher } from '../../src/control/keyring-feed/publisher.ts';
import { publishEvery } from '../../src/control/keyring-feed/role.ts';
import { createLog } from '../../src/control/log.ts';
import { startRepeating } from '../../src/control/repeating.ts';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { temporaryKeks } from '../../src/store/kek.ts';
import { loadKeyringKeys } from '../../src/store/keyring/keyring-key.ts';
import { connectRedis } from '../../src/store/keyring/redis-connection.ts';
import { createRedisFollowers } from '../../src/store/keyring/redis-followers.ts';
import { redisLayout } from '../../src/store/keyring/redis-layout.ts';
import { createKeyringWriter } from '../../src/store/keyring/redis-writer.ts';
import { createRecordSealer } from '../../src/store/keyring/sealed-record.ts';
import { openStore } from '../../src/store/open.ts';
import { freePort } from '../../tests/support/ports.ts';
import { spawnServer } from '../../tests/support/processes.ts';
import { startRedis } from '../../tests/support/redis.ts';
import { tempDir } from '../../tests/support/temp.ts';
import { domainName, liveTemplate, populate } from '../reconcile/population.ts';
import { changeKey } from './change.ts';
import type { FollowerMessage, FollowerTask } from './follower-process.ts';
import { type Result, report, writeReport } from './report.ts';

const { values } = parseArgs({
  options: {
    domains: { type: 'string', default: '100000' },
    changes: { type: 'string', default: '100' },
    write: { type: 'boolean', default: false },
  },
});
const domains = Number(values.domains);
const changes = Number(values.changes);
const milters = 10;
const processes = 5;
const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const say = (line: string) => process.stderr.write(`${line}\n`);

using dir = tempDir('bench-keyring');
await using redis = await startRedis();
const keks = temporaryKeks();
const path = dir.join('store.sqlite');

say('one domain lives its first weeks …');
const template = await liveTemplate(Date.now() - 14 * 86_400_000);
say(`${domains} likenesses of it …`);
await populate({ path, keks, template, domains, due: 0, progress: () => undefined });
const keyBytes = template.snapshot.keys
  .filter(({ state }) => state === 'active')
  .reduce((sum, { id }) => sum + (template.privateKeys.get(id)?.length ?? 0), 0);

const keyFile = dir.join('keyrings.key');
const sealer = createRecordSealer(loadKeyringKeys({ file: keyFile, mayMake: true }));
const layout = redisLayout('keyturn');
const link = connectRedis({
  servers: [{ host: '127.0.0.1', port: redis.port }],
  cluster: false,
  database: 0,
  timeout: 60_000,
});
await using store = await openStore({ path, keks });
const log = createLog({ level: 'error', format: 'text', write: say, now: () => Date.now() });
const publisher = createKeyringPublisher({
  store,
  writer: createKeyringWriter(link, layout, sealer),
  clock: systemClock,
  log,
});
say('Redis is filled from the store …');
const filledIn = await timed(() => publisher.tick(new AbortController().signal));
const stopPublishing = startRepeating(publishEvery, publisher.tick, (error) => say(String(error)));
// Every milter that comes is known at once: what a control plane writes into each domain is measured elsewhere.
const followers = createRedisFollowers(link, layout, sealer, systemClock);
const stopAdmitting = startRepeating(
  20,
  async () => {
    for (const follower of await followers.list()) if (!follower.isAdmitted) await followers.admit(follower);
  },
  (error) => say(String(error)),
);

say('a milter starts, from Redis and from its disk …');
const fromRedis = await starts('start', false);
await sleep(3000);
say('ten milters follow …');
const followed = await propagation();
await stopAdmitting();
await stopPublishing();
await link.close();
const usedMemory = Number(/used_memory:(\d+)/.exec(await redis.client.info('memory'))?.[1] ?? 0);
await redis.stop();
const fromDisk = await starts('start', true);

const result: Result = {
  domains,
  filledIn,
  redisMB: usedMemory / 1e6,
  fromRedis,
  fromDisk,
  memory: followed.bytes / domains,
  keyBytes,
  milters,
  processes,
  latencies: followed.latencies,
  slowest: followed.slowest,
};
process.stdout.write(report(result));
if (values.write) writeReport(result);

async function timed(task: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await task();
  return performance.now() - begun;
}

interface Start {
  readonly milliseconds: number;
  readonly residentMiB: number;
}

/** `keyturn milter --redis`, from the start of the process until its socket is open: the median of three. */
async function starts(name: string, fromDisk: boolean): Promise<Start> {
  const all: Start[] = [];
  for (let round = 0; round < 3; round++) {
    const data = dir.join(`${name}-${fromDisk ? 2 : round}`);
    if (!fromDisk) mkdirSync(data);
    const listen = `inet:127.0.0.1:${await freePort()}`;
    const begun = performance.now();
    await using milter = await spawnServer({
      name: 'keyturn milter',
      command: process.execPath,
      args: [
        ...[main, 'milter', '--redis', `127.0.0.1:${redis.port}`, '--name', name, '--data', data],
        ...['--key-file', keyFile, '--listen', listen],
      ],
      ready: (output) => output().includes('"ready"'),
      readyWithin: 120_000,
    });
    const milliseconds = performance.now() - begun;
    const status = readFileSync(`/proc/${milter.pid}/status`, 'utf8');
    all.push({ milliseconds, residentMiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024 });
    // What it loaded is on its disk when this is.
    if (!fromDisk) await sleep(1500);
  }
  return all.toSorted((a, b) => a.milliseconds - b.milliseconds)[1] as Start;
}

/** From before a change is committed to the store until each milter signs by it; and until the last one does. */
async function propagation(): Promise<{ latencies: number[]; slowest: number[]; bytes: number }> {
  const children: ChildProcess[] = [];
  const waiting = new Map<string, { readonly begun: number; left: number; readonly done: () => void }>();
  const latencies: number[] = [];
  const slowest: number[] = [];
  const bytes: number[] = [];
  for (let index = 0; index < processes; index++) {
    const names = Array.from({ length: milters / processes }, (_, n) => `mx${index}-${n}`);
    const task: FollowerTask = { port: redis.port, keyFile, folder: dir.path, names };
    const file = dir.join(`task-${index}.json`);
    writeFileSync(file, JSON.stringify(task));
    const child = fork(fileURLToPath(new URL('./follower-process.ts', import.meta.url)), [file], {
      execArgv: ['--expose-gc'],
    });
    children.push(child);
    await new Promise<void>((resolve, reject) => {
      let ready = 0;
      child.on('exit', (code) => reject(new Error(`a process with milters ended with ${code}`)));
      child.on('message', (message: FollowerMessage) => {
        if (message.kind === 'ready') {
          bytes.push(message.bytes);
          ready += 1;
          if (ready === names.length) resolve();
          return;
        }
        const change = waiting.get(message.domain);
        if (change === undefined) return;
        const latency = message.at - change.begun;
        latencies.push(latency);
        change.left -= 1;
        if (change.left > 0) return;
        slowest.push(latency);
        waiting.delete(message.domain);
        change.done();
      });
    });
  }
  for (let n = 0; n < changes; n++) {
    const domain = domainName(Math.floor((n * domains) / changes));
    await new Promise<void>((resolve, reject) => {
      waiting.set(domain, { begun: performance.timeOrigin + performance.now(), left: milters, done: resolve });
      changeKey(store, domain).catch(reject);
    });
    await sleep(37);
  }
  for (const child of children) {
    child.removeAllListeners('exit');
    child.kill('SIGKILL');
  }
  return { latencies, slowest, bytes: bytes.toSorted((a, b) => a - b)[bytes.length >> 1] ?? 0 };
}
