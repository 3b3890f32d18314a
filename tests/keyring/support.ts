/** Keyrings in a real Redis: a store with domains, the control plane's roles, and followers in this process. */
import { createPrivateKey, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { LoadedConfig } from '../../src/control/config/load.ts';
import { configSchema } from '../../src/control/config/schema.ts';
import { importKey } from '../../src/control/import-key.ts';
import { type FollowingMilter, startFollowingMilter } from '../../src/control/keyring-feed/milter.ts';
import { type KeyringFeedRole, startKeyringFeedRole } from '../../src/control/keyring-feed/role.ts';
import { createLog, type Log } from '../../src/control/log.ts';
import { rehearsalMessage } from '../../src/control/rehearsal/message.ts';
import { exportPrivateKeyPem } from '../../src/dkim/key-pair.ts';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { connectMilter } from '../../src/signers/milter/client.ts';
import { openMemoryStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { waitFor } from '../support/processes.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { type TempDir, tempDir } from '../support/temp.ts';

const operator = (store: Store) => ({ store, clock: systemClock, actor: { name: 'test', source: 'cli' } }) as const;

/** Every private key that was made, as DER: what nobody may find anywhere. */
export const made: Buffer[] = [];

/** Every line that anything here wrote to a log. */
export const lines: string[] = [];

export const log: Log = createLog({
  level: 'debug',
  format: 'json',
  write: (line) => void lines.push(line),
  now: () => systemClock.now(),
});

/** Adds a domain with one active Ed25519 key; the lifecycle's way there is told elsewhere. */
export async function addActive(store: Store, domain: string, selector = 's1'): Promise<void> {
  const { privateKey } = generateKeyPairSync('ed25519');
  made.push(privateKey.export({ type: 'pkcs8', format: 'der' }));
  await importKey(operator(store), {
    domain,
    selector,
    stream: 'default',
    input: exportPrivateKeyPem(createPrivateKey({ key: made.at(-1) as Buffer, format: 'der', type: 'pkcs8' })),
    policy: 'default',
    bindings: [],
  });
  await activate(store, domain, selector);
}

/** Another key takes the place of those that are active. */
export async function rotate(store: Store, domain: string, selector: string): Promise<void> {
  await addKey(store, domain, selector);
  await activate(store, domain, selector);
}

async function addKey(store: Store, domain: string, selector: string): Promise<void> {
  const { privateKey } = generateKeyPairSync('ed25519');
  made.push(privateKey.export({ type: 'pkcs8', format: 'der' }));
  await importKey(operator(store), {
    domain,
    selector,
    stream: 'default',
    input: exportPrivateKeyPem(privateKey),
    policy: 'default',
    bindings: [],
  });
}

async function activate(store: Store, domain: string, selector: string): Promise<void> {
  const stored = await store.snapshot(domain);
  if (stored === null) throw new Error(`${domain} was not added`);
  const { snapshot: before, version } = stored;
  const generation = before.domain.generation + 1;
  const after = {
    ...before,
    domain: { ...before.domain, generation, firstActiveAt: before.domain.firstActiveAt ?? 1 },
    keys: before.keys.map((key) => {
      if (key.selector === selector) {
        return { ...key, state: 'active' as const, activatedAt: 1, enteredGeneration: generation };
      }
      return key.state === 'active'
        ? { ...key, state: 'retiring' as const, retiredAt: 1, leftGeneration: generation }
        : key;
    }),
  };
  const event = { actor: 'test', source: 'cli', domain, kind: 'active-changed', details: {} };
  await store.commit({ name: domain, version }, { before, after, events: [event] });
}

/** What the configuration file of each part would say. */
export function configured(
  dir: TempDir,
  redis: Readonly<Record<string, unknown>>,
  more: Readonly<Record<string, unknown>> = {},
): LoadedConfig {
  const config = configSchema.parse({
    keyrings: { redis, keyFile: dir.join('keyrings.key') },
    milter: { listen: ['inet:127.0.0.1:0'] },
    ...more,
  });
  return { file: null, config, dataFolder: dir.path, kekFile: dir.join('kek') };
}

export function addressOf({ port }: RedisServer): { servers: string[]; timeout: string } {
  return { servers: [`127.0.0.1:${port}`], timeout: '1s' };
}

export interface ControlPlane extends AsyncDisposable {
  readonly store: Store;
  readonly role: KeyringFeedRole;
}

/** The control plane's part, on a store of its own or a given one. */
export async function startControl(
  dir: TempDir,
  redis: Readonly<Record<string, unknown>>,
  { store, instance = 'control' }: { store?: Store; instance?: string } = {},
): Promise<ControlPlane> {
  const used = store ?? (await openMemoryStore());
  const role = startKeyringFeedRole(configured(dir, redis, { instance, roles: { milter: false, dns: false } }), {
    store: used,
    clock: systemClock,
    log,
    env: {},
    bindings: [],
    mayAct: () => true,
  });
  if (role === null) throw new Error('there is no Redis in the configuration');
  return {
    store: used,
    role,
    async [Symbol.asyncDispose]() {
      await role.stop();
      if (store === undefined) await used.close();
    },
  };
}

/** A milter on a folder of its own; `key` is the folder whose keyrings.key it was given. */
export function startMilter(
  dir: TempDir,
  key: TempDir,
  redis: Readonly<Record<string, unknown>>,
  { name = 'mx1', signal = AbortSignal.timeout(20_000) }: { name?: string; signal?: AbortSignal } = {},
): Promise<FollowingMilter> {
  const roles = { milter: true, reconcile: false, dns: false };
  const loaded = configured(dir, redis, {
    instance: name,
    roles,
    keyrings: { redis, keyFile: key.join('keyrings.key') },
  });
  return startFollowingMilter({ loaded, env: {}, clock: systemClock, log, signal });
}

/** The selector that signs a message of the domain; the verdict where it is not signed. */
export async function signedBy(milter: FollowingMilter, domain: string): Promise<string> {
  using client = await connectMilter(milter.endpoints[0] ?? '');
  const { verdict, added } = await client.deliver(rehearsalMessage(domain, 1, 0));
  const value = added.find(({ name }) => name === 'DKIM-Signature')?.value ?? '';
  return verdict === 'accepted' ? (/s=([^;]+);/.exec(value.replace(/\s/g, ''))?.[1] ?? 'unsigned') : verdict;
}

/** Sends mail of the domain without a pause until it is stopped; answers how often each selector, or verdict, came. */
export function keepSending(milter: FollowingMilter, domain: string): { stop(): Promise<Map<string, number>> } {
  const counts = new Map<string, number>();
  let stopped = false;
  const running = (async () => {
    while (!stopped) {
      const what = await signedBy(milter, domain).catch((error: Error) => error.message);
      counts.set(what, (counts.get(what) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  return {
    async stop() {
      stopped = true;
      await running;
      return counts;
    },
  };
}

/** A file of another key. */
export function writeForeignKey(dir: TempDir): void {
  writeFileSync(dir.join('keyrings.key'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
}

export const freshName = (): string => `${randomUUID().slice(0, 8)}.test`;

export interface Scene extends AsyncDisposable {
  readonly redis: RedisServer;
  readonly store: Store;
  readonly home: TempDir;
  readonly elsewhere: TempDir;
  readonly control: ControlPlane;
  milter: FollowingMilter;
  /** The generation that the milter has acknowledged, by the store. */
  acknowledged(domain: string): Promise<number>;
  /** Rotates and waits until the milter signs with the new key and the store knows it. */
  changeComesThrough(domain: string, selector: string): Promise<void>;
}

/** A Redis, a control plane with the domains given, and a milter that signs them. */
export async function openScene(
  domains: readonly string[],
  options: Parameters<typeof startRedis>[0] = {},
): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const home = stack.use(tempDir('control'));
  const elsewhere = stack.use(tempDir('mx'));
  const redis = stack.use(await startRedis(options));
  const store = stack.use(await openMemoryStore());
  for (const domain of domains) await addActive(store, domain);
  const control = stack.use(await startControl(home, addressOf(redis), { store }));
  const first = await startMilter(elsewhere, home, addressOf(redis));
  const owned = stack.move();
  const acknowledged = async (domain: string) =>
    (await store.snapshot(domain))?.snapshot.signers.find(({ id }) => id === 'mx1')?.acknowledgedGeneration ?? 0;
  const scene: Scene = {
    redis,
    store,
    home,
    elsewhere,
    control,
    milter: first,
    acknowledged,
    async changeComesThrough(domain, selector) {
      await rotate(store, domain, selector);
      const generation = (await store.snapshot(domain))?.snapshot.domain.generation ?? 0;
      await waitFor(async () => (await signedBy(scene.milter, domain)) === selector, { what: `${selector} to sign` });
      await waitFor(async () => (await acknowledged(domain)) === generation, { what: 'the acknowledgement' });
    },
    async [Symbol.asyncDispose]() {
      await scene.milter.stop();
      await owned.disposeAsync();
    },
  };
  for (const domain of domains) {
    await waitFor(async () => (await acknowledged(domain)) > 0, { what: `${domain} to be acknowledged` });
  }
  return scene;
}
