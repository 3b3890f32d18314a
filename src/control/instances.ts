/**
 * One running program per name over all machines, and what the dead leave behind. An instance says every few seconds that it is there;
 * who sees that another has gone silent gives back what that one held, so that its domains need not wait for the end of their
 * leases. Whether somebody is silent is measured by the observer's own clock (has anything changed for so long?), so that clocks
 * of different machines need not agree.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../lifecycle/clock.ts';
import type { Instance, InstanceFacts } from '../store/instances.ts';
import type { Store } from '../store/store.ts';
import { errorText, type Log } from './log.ts';

/** Another process runs under this instance's name. */
export class InstanceTaken extends Error {
  override readonly name = 'InstanceTaken';
}

export interface InstanceOptions {
  readonly store: Pick<Store, 'claimInstance' | 'renewInstance' | 'releaseInstance' | 'listInstances' | 'releaseOwner'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly name: string;
  readonly facts: InstanceFacts;
  /** Remembers the boot id of the last process on this folder; its lock (`instance-lock.ts`) must be held. */
  readonly folder: string;
  /** How often it says that it is there, milliseconds. */
  readonly every?: number;
  /** Silent for so long, an instance counts as dead, milliseconds. */
  readonly ttl?: number;
  /** Called after leases of a dead instance were given back. */
  readonly onTakeover?: (released: number) => void;
  /** Milliseconds that never go back, and those of the machine's own clock, which may jump but goes on while a machine sleeps; for tests. */
  readonly steady?: () => number;
  readonly wall?: () => number;
}

export interface RunningInstance {
  /** Random, made at each start. */
  readonly boot: string;
  /**
   * False while the name may be another's by now: the store has not confirmed it for too long (a paused machine, a broken network), or
   * somebody has claimed it. Then no work is to be claimed and no signer to be reached for; the milter goes on signing.
   */
  holds(): boolean;
  /** One heartbeat: confirms the name, and gives back what silent instances held. Never throws. */
  beat(): Promise<void>;
  /** Gives the name back. */
  release(): Promise<void>;
}

/** How often an instance says that it is there, and after how much silence others act for it; milliseconds. */
export const heartbeat = { every: 3000, ttl: 10_000 } as const;
/** Instances that were not heard of for so long are forgotten, milliseconds. */
const forgetAfter = 86_400_000;

/** Claims the name. @throws InstanceTaken where a living process has it; StoreError. */
export async function startInstance(options: InstanceOptions): Promise<RunningInstance> {
  const { store, clock, log, name, facts, folder, onTakeover } = options;
  const { every = heartbeat.every, ttl = heartbeat.ttl, steady = () => performance.now(), wall = Date.now } = options;
  const boot = randomUUID();
  const bootFile = join(folder, `instance-${name}.boot`);
  const claim = () => store.claimInstance({ name, boot, now: clock.now(), ttlMs: ttl, facts });

  let confirmed = { steady: steady(), wall: wall() };
  await claimAtStart();
  writeFileSync(bootFile, boot, { mode: 0o600 });
  // What it still holds, a process of this name held that died.
  await store.releaseOwner(name);

  let lost = false;
  let troubled = false;
  /** Others, as they were last seen, and since when they have looked so. */
  const others = new Map<string, { readonly boot: string; readonly seenAt: number; since: number; done: boolean }>();

  async function claimAtStart(): Promise<void> {
    const before = readBoot(bootFile);
    const began = steady();
    let first: Instance | null = null;
    for (;;) {
      confirmed = { steady: steady(), wall: wall() };
      const claimed = await claim();
      if (claimed.kind === 'claimed') return;
      const { by } = claimed;
      first ??= by;
      // The last one of this folder, whose lock is ours now: it has ended, whatever it said.
      const ended = by.boot === before;
      const silent = by.boot === first.boot && by.seenAt === first.seenAt;
      if (!ended && !silent) throw taken(by);
      if (ended || steady() - began > ttl + every) await store.releaseInstance(name, by.boot);
      else await sleep(Math.min(500, every));
    }
  }

  function taken({ host, pid, startedAt }: Instance): InstanceTaken {
    return new InstanceTaken(
      `another process runs as "${name}": on ${host}, process ${pid}, since ${new Date(startedAt).toISOString()}. ` +
        'Stop it, or give this one another name with `instance:`; every instance acknowledges under its own',
    );
  }

  const isConfirmed = () => {
    const elapsed = Math.max(steady() - confirmed.steady, wall() - confirmed.wall);
    return !lost && elapsed < ttl;
  };

  async function confirm(): Promise<void> {
    const at = { steady: steady(), wall: wall() };
    if (await store.renewInstance(name, boot, clock.now(), ttl)) {
      confirmed = at;
      lost = false;
      return;
    }
    // Forgotten meanwhile (a store put back from a backup), or another's.
    const claimed = await claim();
    if (claimed.kind === 'claimed') {
      confirmed = at;
      lost = false;
    } else if (!lost) {
      lost = true;
      log.error('instance-name-lost', {
        instance: name,
        host: claimed.by.host,
        process: claimed.by.pid,
        advice:
          'another process runs under this name: this one looks at no domains until that has ended; its milter goes on signing. Give one of them another name with `instance:`',
      });
    }
  }

  async function buryTheSilent(): Promise<void> {
    const now = steady();
    const listed = await store.listInstances();
    for (const each of listed) {
      // Agents hold names here as well: they have no leases, and are heard of less often.
      if (each.name === name || each.roles.includes('agent')) continue;
      const known = others.get(each.name);
      if (known === undefined || known.boot !== each.boot || known.seenAt !== each.seenAt) {
        others.set(each.name, { boot: each.boot, seenAt: each.seenAt, since: now, done: false });
        continue;
      }
      if (now - known.since < ttl) continue;
      if (!known.done) {
        const released = await store.releaseOwner(each.name);
        known.done = true;
        log.warn('instance-silent', { instance: each.name, host: each.host, process: each.pid, domains: released });
        if (released > 0) onTakeover?.(released);
      } else if (now - known.since > forgetAfter) await store.releaseInstance(each.name, each.boot);
    }
    for (const known of others.keys()) if (!listed.some((each) => each.name === known)) others.delete(known);
  }

  return {
    boot,
    holds: isConfirmed,
    async beat() {
      try {
        await confirm();
        if (isConfirmed()) await buryTheSilent();
        if (troubled) log.info('instance-confirmed', { instance: name });
        troubled = false;
      } catch (error) {
        if (!troubled) log.error('instance-not-confirmed', { instance: name, error: errorText(error) });
        troubled = true;
      }
    },
    async release() {
      await store.releaseInstance(name, boot).catch(() => false);
    },
  };
}

function readBoot(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return null;
  }
}
