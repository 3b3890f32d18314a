/** `keyturn serve`: the roles of this process, started in the order that keeps the promises, and stopped in the reverse one. */
import { loadTsigKey } from '../dns/publish/config.ts';
import type { Clock } from '../lifecycle/clock.ts';
import type { Snapshot } from '../lifecycle/types.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import { startAgentsRole } from './agent/service/role.ts';
import type { Binding } from './bindings.ts';
import type { LoadedConfig } from './config/load.ts';
import { type DnsRole, startDnsRole } from './dns-role.ts';
import { createDriftWatch } from './drift.ts';
import type { Actor } from './events.ts';
import { type Guard, startGuard } from './guard.ts';
import { createKeyPairSource } from './key-pairs.ts';
import { startKeyringFeedRole } from './keyring-feed/role.ts';
import { followKeyrings } from './keyring-follower.ts';
import { createLimit } from './limit.ts';
import { loadKeyrings } from './load-keyrings.ts';
import { errorText, type Log } from './log.ts';
import { type MilterRole, startMilterRole } from './milter-role.ts';
import { openStore } from './open-store.ts';
import { besideConfig, createWorld } from './real-world.ts';
import { type Reconciler, startReconciler } from './reconciler.ts';
import { startRepeating } from './repeating.ts';
import { collectSignatures, type SignatureCollector } from './signature-collector.ts';
import { createSignatureLedger } from './signature-ledger.ts';
import { bindingsOf, createSigners } from './signers.ts';
import { createWallClockWatch } from './wall-clock-watch.ts';
import { wasRestored } from './witness.ts';

export interface ServerOptions {
  readonly loaded: LoadedConfig;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each commit of the reconciler. */
  readonly onCommit?: (snapshot: Snapshot) => void;
}

export interface RunningServer extends AsyncDisposable {
  readonly store: Store;
  /** Sockets with the ports that were really taken; empty for a role that is off. */
  readonly milterEndpoints: readonly string[];
  readonly dnsEndpoints: readonly string[];
  readonly agentEndpoints: readonly string[];
  readonly milter: MilterRole | null;
  readonly reconciler: Reconciler | null;
  /** Claims no more work, finishes what is under way, lets messages that are being signed go out, and closes everything. */
  stop(): Promise<void>;
}

const effectTimeout = 30_000;
/** How long a look is given to hand a keyring over before this process's follower does it, milliseconds. */
const patienceWithLooks = 3000;
/** Steps that touch the world at once, for each domain that may be looked at, over all domains. */
const effectsPerLook = 4;

/** @throws InstanceTaken, StoreOlder, ConfigError, StoreError, or an Error naming a socket that cannot be opened; nothing is left open then. */
export async function startServer({ loaded, env, clock, log, onCommit }: ServerOptions): Promise<RunningServer> {
  const { config, dataFolder } = loaded;
  const actor: Actor = { name: 'keyturn', source: 'serve' };
  const closers: Array<() => Promise<void> | void> = [];
  const stop = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  try {
    const store = await openStore(loaded, { env, clock, actor });
    closers.push(() => store.close());
    let reconciler: Reconciler | null = null;
    const guard = await startGuard(loaded, { store, clock, log, env, onTakeover: () => reconciler?.nudge() });
    closers.push(() => guard.stop());
    const owner = config.instance;

    const dns = config.roles.dns && config.dns.zones.length > 0 ? await startDns(loaded, store, clock, log) : null;
    if (dns !== null) closers.push(() => dns.stop());
    const milter = config.roles.milter
      ? await startMilterRole(config.instance, config.milter, { store, clock, log })
      : null;
    if (milter !== null) closers.push(() => milter.stop());

    const listed = await createSigners(loaded, { env, clock, log });
    closers.push(() => listed.close());
    const signers = new Map<string, Signer>([
      ...(milter === null ? [] : [[milter.signer.id, milter.signer] as const]),
      ...listed.signers,
    ]);
    // Milters that follow Redis are added as they come.
    const bindings = [...bindingsOf(config)];
    for (const binding of bindings) {
      await listed.signers.get(binding.signerId)?.load?.(loadKeyrings(store, binding, log));
    }
    const ledger = createSignatureLedger();
    const collect = collectSignatures({ signers, ledger, store, clock, looks: config.roles.reconcile });
    reconciler = config.roles.reconcile
      ? startReconciler(
          {
            store,
            world: createWorld(loaded, { store, clock, signers, bindings, dns, restored: await wasRestored(store) }),
            clock,
            mayAct: guard.mayAct,
            ledger: {
              ...ledger,
              of(domain) {
                collect.now();
                return ledger.of(domain);
              },
            },
            log,
            limit: createLimit(config.reconcile.concurrency * effectsPerLook),
            effectTimeout: Math.min(effectTimeout, config.reconcile.lease / 2),
            leaseMs: config.reconcile.lease,
            ...(onCommit === undefined ? {} : { onCommit }),
          },
          {
            owner,
            concurrency: config.reconcile.concurrency,
            interval: config.reconcile.interval,
            mayWork: guard.mayAct,
          },
        )
      : null;
    closers.push(
      ...background({ loaded, store, clock, log, dns, signers, restoring: listed.restoring, bindings, collect, guard }),
    );
    const looks = reconciler;
    if (looks !== null) closers.push(() => looks.stop());
    const feed = startKeyringFeedRole(loaded, { store, clock, log, env, bindings, mayAct: guard.mayAct });
    if (feed !== null) closers.push(() => feed.stop());
    const agents = await startAgentsRole(loaded, { store, clock, log, env, bindings, mayServe: guard.isTrusted });
    if (agents !== null) closers.push(() => agents.stop());
    log.info('ready', {
      instance: config.instance,
      milter: milter?.server.endpoints ?? [],
      dns: dns?.endpoints ?? [],
      agents: agents?.endpoints ?? [],
      reconcile: reconciler !== null,
      data: dataFolder,
    });
    return {
      store,
      milter,
      reconciler,
      milterEndpoints: milter?.server.endpoints ?? [],
      dnsEndpoints: dns?.endpoints ?? [],
      agentEndpoints: agents?.endpoints ?? [],
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function startDns({ config, file }: LoadedConfig, store: Store, clock: Clock, log: Log): Promise<DnsRole> {
  const keys = config.dns.keys.map((key) => loadTsigKey(key, besideConfig(file)));
  return startDnsRole(config.dns, { store, clock, log, keys });
}

/** What goes on beside the looks; each is stopped by its closer. */
function background(context: {
  loaded: LoadedConfig;
  store: Store;
  clock: Clock;
  log: Log;
  dns: DnsRole | null;
  signers: ReadonlyMap<string, Signer>;
  restoring: ReadonlySet<string>;
  bindings: readonly Binding[];
  collect: SignatureCollector;
  guard: Guard;
}): Array<() => Promise<void>> {
  const { store, clock, log, dns, signers, restoring, bindings, collect, guard } = context;
  const { reconcile, roles } = context.loaded.config;
  const failed = (what: string) => (error: unknown) => log.error(what, { error: errorText(error) });
  const every = (milliseconds: number, what: string, task: (signal: AbortSignal) => Promise<unknown>) =>
    startRepeating(milliseconds, task, failed(what));
  const whenTrusted =
    (task: (signal: AbortSignal) => Promise<unknown>, may: () => boolean = guard.isTrusted) =>
    async (signal: AbortSignal) =>
      may() ? task(signal) : undefined;
  const closers = [
    every(
      1000,
      'signatures-not-collected',
      whenTrusted(() => collect.tick()),
    ),
  ];
  if (dns !== null)
    closers.push(
      every(
        reconcile.interval,
        'zones-not-refreshed',
        whenTrusted(() => dns.refresh()),
      ),
    );
  // Where this process looks at domains itself, little is left for the followers.
  const patience = roles.reconcile ? patienceWithLooks : 0;
  for (const signer of signers.values()) {
    const binding = bindings.find(({ signerId }) => signerId === signer.id);
    if (binding === undefined) continue;
    const follow = followKeyrings(signer, { store, clock, log, binding, patience });
    // The milter is nobody's but this process's: it takes what is newer even while the name may be another's.
    const may = signer.kind === 'milter' ? guard.isTrusted : guard.mayAct;
    closers.push(every(reconcile.interval, 'keyrings-not-followed', whenTrusted(follow, may)));
  }
  if ([...signers.values()].some(({ inspect }) => inspect !== undefined)) {
    const inspect = createDriftWatch({ signers, restoring, store, clock, log });
    const inspectIfMay = whenTrusted(inspect, guard.mayAct);
    closers.push(startRepeating(reconcile.inspectEvery, inspectIfMay, failed('signers-not-inspected'), 2000));
  }
  if (roles.reconcile && reconcile.keysAhead > 0) {
    const { refill } = createKeyPairSource(store, clock, reconcile.keysAhead);
    // Making keys takes every core that it gets: mail that waits for a start comes first.
    closers.push(startRepeating(10_000, refill, failed('key-pairs-not-made'), 3000));
  }
  const jumped = createWallClockWatch(clock, () => performance.now(), 5000);
  closers.push(
    every(1000, 'clock-not-watched', async () => {
      const jump = jumped();
      if (jump === null || !guard.isTrusted()) return;
      log.warn('clock-jumped', {
        milliseconds: Math.round(jump.by),
        advice:
          'waits are not shortened by it; see to the time service, for signatures and logs carry the wrong time meanwhile',
      });
      const details = { milliseconds: Math.round(jump.by) };
      await store.journal.append([
        { actor: 'keyturn', source: 'serve', domain: null, kind: 'clock-jumped', details, at: jump.at },
      ]);
    }),
  );
  return closers;
}
