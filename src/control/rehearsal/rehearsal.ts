/**
 * A rehearsal: the real server roles in a folder of their own, a domain whose policy counts in seconds, steady mail, three rotations and one
 * compromised key. What it reports is what receivers found.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCachingResolver } from '../../dns/lookup/cache.ts';
import { systemClock } from '../../lifecycle/clock.ts';
import type { KeyState, Snapshot } from '../../lifecycle/types.ts';
import type { LoadedConfig } from '../config/load.ts';
import { configSchema } from '../config/schema.ts';
import type { Actor } from '../events.ts';
import { silentLog } from '../log.ts';
import { addDomain, type Mark, mark } from '../operations.ts';
import { startServer } from '../server.ts';
import { bindingsOf } from '../signers.ts';
import { freePort } from './free-port.ts';
import { startTraffic, type Traffic, type TrafficCounts } from './traffic.ts';

export interface RehearsalOptions {
  readonly stop: AbortSignal;
  /** Told of every change of a key. */
  readonly onChange: (view: RehearsalView) => void;
  /** Told what is about to happen. */
  readonly onPhase: (phase: string) => void;
  readonly rotations: number;
  /** Messages that must have been sent at least. */
  readonly messages: number;
}

export interface RehearsalView {
  readonly snapshot: Snapshot;
  /** When each key reached each state, by key id. */
  readonly changes: ReadonlyMap<string, ReadonlyArray<{ readonly at: number; readonly state: KeyState }>>;
}

export interface RehearsalResult extends TrafficCounts {
  readonly rotations: number;
  readonly emergencies: number;
  readonly seconds: number;
  readonly failures: readonly string[];
}

export interface Rehearsal {
  counts(): TrafficCounts;
  readonly finished: Promise<RehearsalResult>;
}

const domain = 'example.test';
const overlap = 6000;
/** Nothing of a rehearsal takes longer, even on a slow machine; milliseconds. */
const patience = 60_000;
const none: TrafficCounts = {
  messages: 0,
  signed: 0,
  verified: 0,
  unsigned: 0,
  unverifiable: 0,
  putOff: 0,
  refused: 0,
};

export function startRehearsal(options: RehearsalOptions): Rehearsal {
  let traffic: Traffic | null = null;
  const finished = rehearse(options, (started) => {
    traffic = started;
  });
  return { counts: () => traffic?.counts() ?? none, finished };
}

async function rehearse(options: RehearsalOptions, onTraffic: (traffic: Traffic) => void): Promise<RehearsalResult> {
  const start = performance.now();
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-demo-'));
  const changes = new Map<string, Array<{ at: number; state: KeyState }>>();
  let snapshot: Snapshot | null = null;
  const onCommit = (committed: Snapshot) => {
    let changed = snapshot === null;
    for (const { id, state } of committed.keys) {
      const known = changes.get(id) ?? [];
      changes.set(id, known);
      if (known.at(-1)?.state === state) continue;
      known.push({ at: Date.now(), state });
      changed = true;
    }
    snapshot = committed;
    if (changed) options.onChange({ snapshot, changes });
  };
  try {
    const loaded = await rehearsalConfig(folder);
    await using server = await startServer({ loaded, env: {}, clock: systemClock, log: silentLog, onCommit });
    const actor: Actor = { name: 'demo', source: 'cli' };
    const operator = { store: server.store, clock: systemClock, actor };
    const ask = async (request: Mark) => {
      const result = await mark(operator, domain, request);
      if (result.kind !== 'done')
        throw new Error(`the rehearsal's request ${request.kind} was not done: ${result.kind}`);
      server.reconciler?.nudge();
    };
    /** Waits until the keys are so; a stop or a rehearsal that hangs ends it. */
    const until = async (what: string, holds: (keys: Snapshot['keys']) => boolean) => {
      for (const since = performance.now(); snapshot === null || !holds(snapshot.keys); await sleep(20)) {
        if (options.stop.aborted) throw new Error('the rehearsal was stopped');
        if (performance.now() - since > patience) throw new Error(`waited ${patience / 1000} s for ${what}`);
      }
    };
    const isReady = (keys: Snapshot['keys']) => count(keys, 'active') === 2 && count(keys, 'standby') === 2;

    options.onPhase(`${domain} is added: its first keys are made, published, and proved at its name server`);
    await addDomain(operator, { name: domain, kind: 'mail', policy: 'default', bindings: bindingsOf(loaded.config) });
    server.reconciler?.nudge();
    await until('the first keys', isReady);

    const [socket] = server.milterEndpoints;
    if (socket === undefined) throw new Error('the milter has no socket');
    const excused = new Set<string>();
    const traffic = startTraffic({
      socket,
      domain,
      receivers: [0, 1].map(() =>
        createCachingResolver({ upstream: [{ apex: domain, servers: server.dnsEndpoints }] }),
      ),
      every: 45,
      againAfter: overlap / 3,
      algorithms: ['rsa-sha256', 'ed25519-sha256'],
      excused: (selector) => excused.has(selector),
    });
    onTraffic(traffic);
    try {
      options.onPhase(
        'mail flows: every message is signed with RSA and Ed25519, and verified through DNS at once and again later',
      );
      await sleep(2000, undefined, { signal: options.stop });
      let rotations = 0;
      for (; rotations < options.rotations; rotations++) {
        const old = new Set(keysIn(snapshot, 'active').map(({ id }) => id));
        options.onPhase(
          `rotation ${rotations + 1}: the standby keys take over, the old keys leave, are revoked, and removed`,
        );
        await ask({ kind: 'rotation-requested', stream: 'default' });
        await until(`rotation ${rotations + 1}`, (keys) =>
          keys.every(({ id, state }) => !old.has(id) || state === 'removed'),
        );
        await until('new standby keys', isReady);
      }
      const leaked = keysIn(snapshot, 'active').find(({ algorithm }) => algorithm === 'rsa');
      if (leaked === undefined) throw new Error('no RSA key is active');
      options.onPhase(
        `emergency: ${leaked.selector} is declared compromised; its standby takes over at once, and it is revoked`,
      );
      excused.add(leaked.selector);
      await ask({ kind: 'compromised', keyId: leaked.id });
      await until('the compromised key to be withdrawn', (keys) =>
        keys.every(({ id, state }) => id !== leaked.id || state === 'revoked' || state === 'removed'),
      );
      await until('a new standby key', isReady);
      const enough = () => traffic.counts().messages > options.messages;
      if (!enough()) options.onPhase('mail goes on flowing until there is enough of it to judge by');
      await until('enough mail', enough);
      options.onPhase('no more mail: what was sent last is verified once more');
      const counts = await traffic.stop();
      const seconds = Math.round((performance.now() - start) / 100) / 10;
      return { ...counts, rotations, emergencies: 1, seconds, failures: traffic.failures };
    } catch (error) {
      await traffic.stop();
      throw error;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function keysIn(snapshot: Snapshot | null, state: KeyState): Snapshot['keys'] {
  return snapshot?.keys.filter((key) => key.state === state) ?? [];
}

function count(keys: Snapshot['keys'], state: KeyState): number {
  return keys.filter((key) => key.state === state).length;
}

/** What a person would write into `keyturn.yaml` for rotations of seconds. */
async function rehearsalConfig(folder: string): Promise<LoadedConfig> {
  const config = configSchema.parse({
    instance: 'milter',
    policies: {
      default: {
        keys: ['rsa-2048', 'ed25519'],
        rotateEvery: '1h',
        jitter: 0,
        lead: '3s',
        standby: 1,
        overlap: `${overlap}ms`,
        tombstone: '3s',
        ttl: '2s',
        ttlAhead: '1s',
        proofFresh: '3s',
        watchEvery: '3s',
      },
    },
    dns: {
      listen: [`127.0.0.1:${await freePort()}`],
      zones: [
        {
          apex: domain,
          nameservers: [`ns1.${domain}`],
          negativeTtl: '1s',
          ttl: '10s',
          addresses: { [`ns1.${domain}`]: ['127.0.0.1'] },
        },
      ],
      rateLimit: 0,
    },
    proof: { builtin: true },
    milter: { listen: ['inet:127.0.0.1:0'] },
    reconcile: { interval: '200ms', keysAhead: 2 },
  });
  return { file: null, config, dataFolder: join(folder, 'data'), kekFile: join(folder, 'data', 'kek') };
}
