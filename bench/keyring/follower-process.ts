/** A process with some followers in it, each with every domain; tells its parent when each has what. Started by main.ts. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createFollower } from '../../src/control/keyring-feed/follower.ts';
import { milterTarget } from '../../src/control/keyring-feed/target.ts';
import { silentLog } from '../../src/control/log.ts';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { createKeyringBook } from '../../src/signers/keyring-book.ts';
import { createKeyringCache } from '../../src/store/keyring/cache.ts';
import { loadKeyringKeys } from '../../src/store/keyring/keyring-key.ts';
import { connectRedis } from '../../src/store/keyring/redis-connection.ts';
import { createRedisFeed } from '../../src/store/keyring/redis-feed.ts';
import { redisLayout } from '../../src/store/keyring/redis-layout.ts';
import { createRecordSealer } from '../../src/store/keyring/sealed-record.ts';

export interface FollowerTask {
  readonly port: number;
  readonly keyFile: string;
  readonly folder: string;
  readonly names: readonly string[];
}

export type FollowerMessage =
  /** Octets in use by what was loaded, after the garbage was collected. */
  | { readonly kind: 'ready'; readonly domains: number; readonly bytes: number; readonly milliseconds: number }
  /** `at`: milliseconds of the machine's clock, finer than whole ones. */
  | { readonly kind: 'loaded'; readonly name: string; readonly domain: string; readonly at: number };

const task: FollowerTask = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
const tell = (message: FollowerMessage) => process.send?.(message);
const inUse = () => {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

let isReady = false;
for (const name of task.names) {
  const sealer = createRecordSealer(loadKeyringKeys({ file: task.keyFile, mayMake: false }));
  const signs = { domains: ['*'], except: [], streams: ['*'] };
  const registration = { name, installation: name, boot: randomUUID(), host: 'bench', signs };
  const book = createKeyringBook();
  const target = milterTarget(book, { signerId: name, ...signs }, () => null);
  const link = connectRedis({
    servers: [{ host: '127.0.0.1', port: task.port }],
    cluster: false,
    database: 0,
    timeout: 60_000,
  });
  const follower = createFollower({
    feed: createRedisFeed({ link, layout: redisLayout('keyturn'), sealer, registration, clock: systemClock }),
    cache: createKeyringCache(`${task.folder}/${name}`, sealer),
    target: {
      ...target,
      put(record, anew) {
        target.put(record, anew);
        if (!isReady) return;
        tell({ kind: 'loaded', name, domain: record.domain, at: performance.timeOrigin + performance.now() });
      },
    },
    registration,
    clock: systemClock,
    log: silentLog,
  });
  const before = inUse();
  const begun = performance.now();
  await follower.start(AbortSignal.timeout(600_000));
  const milliseconds = performance.now() - begun;
  follower.follow();
  tell({ kind: 'ready', domains: book.size, bytes: inUse() - before, milliseconds });
}
isReady = true;
