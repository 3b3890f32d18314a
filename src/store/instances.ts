/** Which processes are alive, each under a name of its own: so that no two of one name work side by side, and the dead are known. */
import type { Db, InstanceTable } from './tables.ts';
import type { Writer } from './writer.ts';

/** What an instance tells of itself. */
export interface InstanceFacts {
  readonly host: string;
  readonly pid: number;
  readonly roles: readonly string[];
}

export interface Instance extends InstanceFacts {
  readonly name: string;
  /** Random, made anew at each start: tells a process from one of the same name before it. */
  readonly boot: string;
  readonly startedAt: number;
  /** When it last said that it is there. */
  readonly seenAt: number;
  /** Until when its name is its own if it says nothing more. */
  readonly expiresAt: number;
}

export interface InstanceClaim {
  readonly name: string;
  readonly boot: string;
  readonly now: number;
  /** For how long the name is its own without a word. */
  readonly ttlMs: number;
  readonly facts: InstanceFacts;
}

export type ClaimInstanceResult =
  /** `before`: the dead one whose name it was; its leases may be given back. */
  { readonly kind: 'claimed'; readonly before: Instance | null } | { readonly kind: 'taken'; readonly by: Instance };

export interface Instances {
  claimInstance(claim: InstanceClaim): Promise<ClaimInstanceResult>;
  /** False: the name is another's by now; this process must stop what it does under it. */
  renewInstance(name: string, boot: string, now: number, ttlMs: number): Promise<boolean>;
  /** Gives the name back; false where it was another's. */
  releaseInstance(name: string, boot: string): Promise<boolean>;
  /** By name, the dead included; whose `expiresAt` is over has not been heard of. */
  listInstances(): Promise<readonly Instance[]>;
}

/** A name is never held for longer than this: what says so was written before the clock was put back. */
const LONGEST = 24 * 60 * 60 * 1000;

export function createInstances(db: Db, writer: Writer): Instances {
  return {
    claimInstance: ({ name, boot, now, ttlMs, facts }) =>
      writer.write(async ({ trx, locked }) => {
        const row = await locked(trx.selectFrom('instances').selectAll().where('name', '=', name)).executeTakeFirst();
        const there = row ? instanceFrom(row) : null;
        const alive = there !== null && there.expiresAt > now && there.expiresAt <= now + LONGEST;
        if (there !== null && alive && there.boot !== boot) return { kind: 'taken', by: there };
        const said = { host: facts.host, pid: facts.pid, roles: JSON.stringify(facts.roles) };
        const times = { started_at: now, seen_at: now, expires_at: now + ttlMs };
        if (there === null)
          await trx
            .insertInto('instances')
            .values({ name, boot, ...said, ...times })
            .execute();
        else
          await trx
            .updateTable('instances')
            .set({ boot, ...said, ...times })
            .where('name', '=', name)
            .execute();
        return { kind: 'claimed', before: there?.boot === boot ? null : there };
      }),

    renewInstance: (name, boot, now, ttlMs) =>
      writer.write(async ({ trx }) => {
        const { numUpdatedRows } = await trx
          .updateTable('instances')
          .set({ seen_at: now, expires_at: now + ttlMs })
          .where('name', '=', name)
          .where('boot', '=', boot)
          .executeTakeFirst();
        return numUpdatedRows > 0n;
      }),

    releaseInstance: (name, boot) =>
      writer.write(async ({ trx }) => {
        const { numDeletedRows } = await trx
          .deleteFrom('instances')
          .where('name', '=', name)
          .where('boot', '=', boot)
          .executeTakeFirst();
        return numDeletedRows > 0n;
      }),

    async listInstances() {
      const rows = await db.selectFrom('instances').selectAll().orderBy('name').execute();
      return rows.map(instanceFrom);
    },
  };
}

function instanceFrom(row: InstanceTable): Instance {
  return {
    name: row.name,
    boot: row.boot,
    host: row.host,
    pid: row.pid,
    roles: JSON.parse(row.roles) as readonly string[],
    startedAt: row.started_at,
    seenAt: row.seen_at,
    expiresAt: row.expires_at,
  };
}
