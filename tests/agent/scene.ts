/** A control plane and agents in this process, on real sockets with real certificates; their logs are kept. */
import { join } from 'node:path';
import { type RunningAgent, startAgent } from '../../src/control/agent/follow/agent.ts';
import { agentConfigSchema } from '../../src/control/agent/follow/config.ts';
import { type AgentsRole, startAgentsRole } from '../../src/control/agent/service/role.ts';
import type { LoadedConfig } from '../../src/control/config/load.ts';
import { configSchema } from '../../src/control/config/schema.ts';
import { importKey } from '../../src/control/import-key.ts';
import type { Log, LogFields } from '../../src/control/log.ts';
import { rehearsalMessage } from '../../src/control/rehearsal/message.ts';
import { bindingsOf } from '../../src/control/signers.ts';
import { exportPrivateKeyPem, generateKeyPair } from '../../src/dkim/key-pair.ts';
import { type Clock, systemClock } from '../../src/lifecycle/clock.ts';
import { connectMilter, type Outcome } from '../../src/signers/milter/client.ts';
import type { Store } from '../../src/store/store.ts';
import type { TempDir } from '../support/temp.ts';

export interface Told {
  readonly level: string;
  readonly event: string;
  readonly fields: LogFields;
}

export interface KeptLog extends Log {
  readonly told: readonly Told[];
  /** All of it, for searching. */
  text(): string;
  has(event: string): boolean;
}

export function keptLog(): KeptLog {
  const told: Told[] = [];
  const at =
    (level: string) =>
    (event: string, fields: LogFields = {}) =>
      void told.push({ level, event, fields });
  return {
    told,
    text: () => told.map((each) => JSON.stringify(each)).join('\n'),
    has: (event) => told.some((each) => each.event === event),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
}

/** A domain with one active Ed25519 key, `s1`, which signs from now on; the lifecycle's way there is told elsewhere. */
export function addActiveDomain(store: Store, domain: string): Promise<void> {
  return activate(store, domain, 's1');
}

/** A new key takes the place of the domain's active ones, or is its first. */
export async function activate(store: Store, domain: string, selector: string): Promise<void> {
  const { privateKey } = await generateKeyPair({ algorithm: 'ed25519' });
  const input = exportPrivateKeyPem(privateKey);
  const operator = { store, clock: systemClock, actor: { name: 'test', source: 'cli' } } as const;
  await importKey(operator, { domain, selector, stream: 'default', input, policy: 'default', bindings: [] });
  const stored = await store.snapshot(domain);
  if (stored === null) throw new Error('the domain was not added');
  const { snapshot: before, version } = stored;
  const generation = before.domain.generation + 1;
  const after = {
    ...before,
    domain: { ...before.domain, generation, firstActiveAt: 1 },
    keys: before.keys.map((key) =>
      key.selector === selector
        ? { ...key, state: 'active' as const, activatedAt: 1, enteredGeneration: generation }
        : { ...key, state: 'retiring' as const, leftGeneration: generation, retiredAt: 1 },
    ),
  };
  const event = { actor: 'test', source: 'cli', domain, kind: 'active-changed', details: {} };
  await store.commit({ name: domain, version }, { before, after, events: [event] });
}

export interface Control extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly log: KeptLog;
  stop(): Promise<void>;
}

export const token = 'a-token-of-the-tests-that-is-long-enough';

/** Serves agents from the store. `signers` as in keyturn.yaml; `tls` as under `agents`. */
export async function startControl(
  store: Store,
  settings: {
    readonly signers: readonly object[];
    readonly tls?: object;
    readonly port?: number;
    /** Milliseconds. */
    readonly lease?: number;
    readonly mayServe?: () => boolean;
  },
): Promise<Control> {
  const { signers, tls, port = 0, lease = 1000, mayServe = () => true } = settings;
  const parsed = configSchema.parse({
    roles: { milter: false, dns: false },
    signers,
    agents: { listen: [`127.0.0.1:${port}`], ...(tls === undefined ? { plainHttp: true } : { tls }) },
  });
  const config = { ...parsed, agents: { ...parsed.agents, lease }, reconcile: { ...parsed.reconcile, interval: 50 } };
  const loaded: LoadedConfig = { file: null, config, dataFolder: '/nowhere', kekFile: '/nowhere/kek' };
  const log = keptLog();
  const role: AgentsRole | null = await startAgentsRole(loaded, {
    store,
    clock: systemClock,
    log,
    env: {},
    bindings: bindingsOf(config),
    mayServe,
  });
  const url = role?.endpoints[0];
  if (role === null || url === undefined) throw new Error('no agent is served');
  return {
    url,
    port: Number(new URL(url).port),
    log,
    stop: () => role.stop(),
    [Symbol.asyncDispose]: () => role.stop(),
  };
}

export interface SceneAgent extends AsyncDisposable {
  readonly agent: RunningAgent;
  readonly log: KeptLog;
}

/** `more` takes the place of settings in agent.yaml. Its folder is `name` in `dir`. */
export async function startSceneAgent(
  dir: TempDir,
  name: string,
  control: object,
  { clock = systemClock, more = {} }: { readonly clock?: Clock; readonly more?: object } = {},
): Promise<SceneAgent> {
  const config = agentConfigSchema.parse({ control, milter: { listen: ['inet:127.0.0.1:0'] }, ...more });
  const log = keptLog();
  const loaded = { file: join(dir.path, 'agent.yaml'), config, dataFolder: dir.join(name) };
  const agent = await startAgent({ loaded, env: {}, clock, log, version: 'test', random: () => 0 });
  return { agent, log, [Symbol.asyncDispose]: () => agent.stop() };
}

/** What the agent's milter makes of a message of the domain. */
export async function sendThrough({ agent }: SceneAgent, domain: string): Promise<Outcome> {
  using client = await connectMilter(agent.endpoints[0] ?? 'unix:/the milter is not open');
  return await client.deliver(rehearsalMessage(domain, 1, 0));
}

export function signaturesOf({ added }: Outcome): readonly string[] {
  return added.filter(({ name }) => name === 'DKIM-Signature').map(({ value }) => value.replace(/\s+/g, ''));
}
