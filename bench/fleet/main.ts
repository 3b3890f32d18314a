/**
 * `npm run bench fleet [-- --domains 10000 --zones each --write]`: a fleet whose keys are all rotated at once, RSA-2048 and Ed25519, through a
 * real MariaDB, a real Redis and a local BIND, by a server of the real configuration in this process. Everything runs on this
 * machine's cores: the servers, the making of keys, and the program. It says who used them, and how long nobody did.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { loadConfig } from '../../src/control/config/load.ts';
import { createKeyPairSource } from '../../src/control/key-pairs.ts';
import { type Log, silentLog } from '../../src/control/log.ts';
import { addDomain, mark, type Operator } from '../../src/control/operations.ts';
import { startServer } from '../../src/control/server.ts';
import { bindingsOf } from '../../src/control/signers.ts';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { startBind } from '../../tests/support/bind.ts';
import { tsigKey } from '../../tests/support/dns-server.ts';
import { startMariadb } from '../../tests/support/mariadb.ts';
import { startRedis } from '../../tests/support/redis.ts';
import { tempDir } from '../../tests/support/temp.ts';
import { processor, since } from './processor.ts';
import { startProfile } from './profile.ts';
import { type Phase, report, writeReport } from './report.ts';

const { values } = parseArgs({
  options: {
    domains: { type: 'string', default: '10000' },
    zones: { type: 'string', default: 'one' },
    concurrency: { type: 'string', default: '64' },
    write: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const domains = Number(values.domains);
const each = values.zones === 'each';
if (!Number.isInteger(domains) || domains < 1 || !(each || values.zones === 'one')) {
  process.stderr.write('--domains takes a whole number above 0, --zones one or each.\n');
  process.exit(2);
}
const say = (text: string) => void process.stderr.write(`${text}\n`);

const names = Array.from({ length: domains }, (_, n) => `d${String(n).padStart(6, '0')}.fleet.test`);
const key = tsigKey('keyturn');
const update = [{ key, scope: 'zone' as const }];
using dir = tempDir('fleet');
await using bind = await startBind({
  zones: (each ? names : ['fleet.test']).map((apex) => ({ apex, update })),
  // As on a name server that is meant to be written to: it may wait for its disk, and many may write at once.
  extraOptions: ['tcp-clients 500;'],
});
await using mariadb = await startMariadb({
  args: ['--innodb-buffer-pool-size=256M', '--innodb-flush-log-at-trx-commit=1'],
});
await using redis = await startRedis();
const database = await mariadb.database();

writeFileSync(dir.join('kek'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
writeFileSync(
  dir.join('keyturn.yaml'),
  stringify({
    data: 'data',
    kekFile: 'kek',
    store: { url: database.url, password: database.password, connections: 8 },
    keyrings: { redis: { servers: [`127.0.0.1:${redis.port}`] } },
    policies: {
      // What waits for caches and queues is short; what must be fresh may be older than usual, for a thousand domains wait for each other here.
      default: {
        keys: ['rsa-2048', 'ed25519'],
        rotateEvery: '120d',
        jitter: 0,
        lead: '2s',
        standby: 0,
        overlap: '5s',
        tombstone: '2s',
        ttl: '1m',
        ttlAhead: '1m',
        proofFresh: '1h',
        watchEvery: '6h',
      },
    },
    publishers: [
      {
        name: 'bind',
        kind: 'rfc2136',
        servers: [`127.0.0.1:${bind.port}`],
        key,
        ...(each ? {} : { zone: 'fleet.test' }),
      },
    ],
    proof: {
      zones: (each ? names : ['fleet.test']).map((apex) => ({ apex, servers: [`127.0.0.1:${bind.port}`] })),
      timeout: '20s',
    },
    milter: { listen: [`unix:${dir.join('milter.sock')}`] },
    reconcile: { concurrency: Number(values.concurrency), keysAhead: 0 },
  }),
  { mode: 0o600 },
);
const counted = new Map<string, number>();
const count = (event: string) => void counted.set(event, (counted.get(event) ?? 0) + 1);
const log: Log = values.verbose
  ? {
      ...silentLog,
      warn: (event, fields) => say(`${event} ${JSON.stringify(fields)}`),
      error: (event, fields) => say(`${event} ${JSON.stringify(fields)}`),
    }
  : { ...silentLog, warn: count, error: count };
const loaded = loadConfig(dir.join('keyturn.yaml'), { env: {}, workingFolder: dir.path });
await using server = await startServer({ loaded, env: {}, clock: systemClock, log });
const { store } = server;
const operator: Operator = { store, clock: systemClock, actor: { name: 'bench', source: 'cli' } };

/** In handfuls, as a person's script would. */
async function forAll(task: (name: string) => Promise<unknown>): Promise<void> {
  for (let n = 0; n < domains; n += 200) await Promise.all(names.slice(n, n + 200).map(task));
  server.reconciler?.nudge();
}

/** Statements that the database has been sent. */
async function statements(): Promise<number> {
  const [row] = await mariadb.admin("show global status like 'Questions'");
  return Number(row?.Value);
}

async function measure(
  what: string,
  begin: () => Promise<void>,
  done: (keys: Readonly<Record<string, number>>) => boolean,
): Promise<Phase> {
  say(`${what} …`);
  const profile = await startProfile();
  const before = processor();
  const events = (await store.status()).journal.entries;
  const asked = await statements();
  const started = performance.now();
  await begin();
  for (let told = started; ; ) {
    const { keys, conditions } = await store.counts();
    if (done(keys)) break;
    if (performance.now() - told > 15_000) {
      told = performance.now();
      say(`  ${Math.round((told - started) / 1000)} s: ${JSON.stringify(keys)} ${JSON.stringify(conditions)}`);
    }
    await sleep(250);
  }
  const seconds = (performance.now() - started) / 1000;
  const used = since(before);
  const sent = (await statements()) - asked;
  const phase: Phase = {
    statements: sent,
    what,
    seconds,
    used,
    parts: await profile.stop(),
    events: (await store.status()).journal.entries - events,
  };
  say(report([phase], { domains, each }));
  return phase;
}

const fill = () => createKeyPairSource(store, systemClock, domains).refill(new AbortController().signal);
const rotate = () => forAll((name) => mark(operator, name, { kind: 'rotation-requested', stream: 'default' }));
const rotated = (times: number) => (keys: Readonly<Record<string, number>>) =>
  keys.active === 2 * domains && keys.removed === 2 * domains * times;

const phases = [
  await measure(
    'First keys, made on the spot',
    () =>
      forAll((name) =>
        addDomain(operator, { name, kind: 'mail', policy: 'default', bindings: bindingsOf(loaded.config) }),
      ),
    (keys) => keys.active === 2 * domains,
  ),
  await measure('Rotation, keys made on the spot', rotate, rotated(1)),
];
say('Making key pairs ahead …');
await fill();
phases.push(await measure('Rotation, keys made ahead', rotate, rotated(2)));

process.stdout.write(report(phases, { domains, each }));
for (const [event, number] of counted) say(`${event}: ${number}`);
if (values.write) writeReport(phases, { domains, each });
