/** Leases: which domains are due, and who looks at them. A lease ends by itself when its owner dies. */
import type { Expression, ExpressionBuilder } from 'kysely';
import type { StoreDialect } from './dialect.ts';
import { padded } from './read.ts';
import type { Claim } from './store.ts';
import type { Db, Tables, Trx } from './tables.ts';
import type { Writer } from './writer.ts';

const HOUR = 60 * 60 * 1000;
/** No look and no lease lies further ahead than a day: what does was set before the clock was put back. */
const FURTHEST = 25 * HOUR;

interface DueRow {
  readonly name: string;
  readonly lease_token: number;
}

export async function claimDue(
  db: Db,
  writer: Writer,
  dialect: StoreDialect,
  request: { now: number; limit: number; owner: string; leaseMs: number },
): Promise<readonly Claim[]> {
  const { now, limit, owner, leaseMs } = request;
  // Most ticks find nothing: they must not take the write lock to learn it.
  if ((await findDue(db, dialect, now, 1, false)).length === 0) return [];
  const until = now + leaseMs;
  return await writer.write(async ({ trx }) => {
    const due = await findDue(trx, dialect, now, limit, true);
    if (due.length > 0) {
      await trx
        .updateTable('domains')
        .set((eb) => ({
          lease_owner: owner,
          lease_until: until,
          lease_token: eb('lease_token', '+', 1),
          due_at: until,
          wake_at: null,
        }))
        .where('name', 'in', padded(due.map(({ name }) => name)))
        .execute();
    }
    return due.map(({ name, lease_token }) => ({ name, owner, token: lease_token + 1, until }));
  });
}

async function findDue(db: Db, dialect: StoreDialect, now: number, limit: number, lock: boolean): Promise<DueRow[]> {
  const base = () => {
    const query = db.selectFrom('domains').select(['name', 'lease_token']).orderBy('due_at');
    if (!lock || dialect.oneWriter) return query;
    return dialect.skipLocked() ? query.forUpdate().skipLocked() : query.forUpdate();
  };
  const due = await base().where('due_at', '<=', now).limit(limit).execute();
  if (due.length === limit) return due;
  const strayed = await base()
    .where('due_at', '>', now + FURTHEST)
    .limit(limit - due.length)
    .execute();
  return [...due, ...strayed];
}

export async function nextDueAt(db: Db): Promise<number | null> {
  const row = await db.selectFrom('domains').select('due_at').orderBy('due_at').limit(1).executeTakeFirst();
  return row?.due_at ?? null;
}

export async function renewLease(writer: Writer, claim: Claim, until: number): Promise<Claim | null> {
  return await writer.write(async ({ trx }) => {
    const { numUpdatedRows } = await trx
      .updateTable('domains')
      .set({ lease_until: until, due_at: until })
      .where(heldBy(claim))
      .executeTakeFirst();
    return numUpdatedRows === 0n ? null : { ...claim, until };
  });
}

export async function releaseLease(writer: Writer, claim: Claim, nextLookAt?: number): Promise<void> {
  await writer.write(async ({ trx }) => {
    await trx
      .updateTable('domains')
      .set((eb) => ({ ...looksAt(eb, nextLookAt), ...released }))
      .where(heldBy(claim))
      .execute();
  });
}

/** Everything that a process of this name held when it died. Claims of before are stale: their token no longer finds a lease. */
export async function releaseOwner(writer: Writer, owner: string): Promise<number> {
  return await writer.write(async ({ trx }) => {
    const { numUpdatedRows } = await trx
      .updateTable('domains')
      .set((eb) => ({ ...looksAt(eb, undefined), ...released }))
      .where('lease_owner', '=', owner)
      .executeTakeFirst();
    return Number(numUpdatedRows);
  });
}

export async function wake(writer: Writer, name: string, at: number): Promise<boolean> {
  return await writer.write(async ({ trx, locked }) => {
    const domain = trx
      .selectFrom('domains')
      .select(['next_look_at', 'lease_until', 'wake_at'])
      .where('name', '=', name);
    const row = await locked(domain).executeTakeFirst();
    if (!row) return false;
    if (row.lease_until !== null) {
      if (row.wake_at === null || at < row.wake_at) await set(trx, name, { wake_at: at });
    } else if (at < row.next_look_at) {
      await set(trx, name, { next_look_at: at, due_at: at });
    }
    return true;
  });
}

async function set(trx: Trx, name: string, columns: Partial<Tables['domains']>): Promise<void> {
  await trx.updateTable('domains').set(columns).where('name', '=', name).execute();
}

type Columns = ExpressionBuilder<Tables, 'domains'>;

/** The claim's lease stands: nobody has claimed the domain since. */
export function heldBy(claim: Claim) {
  return (eb: Columns) =>
    eb.and([
      eb('name', '=', claim.name),
      eb('lease_owner', '=', claim.owner),
      eb('lease_token', '=', claim.token),
      eb('lease_until', 'is not', null),
    ]);
}

/** No lease any more; together with {@link looksAt}. */
export const released = { lease_owner: null, lease_until: null, wake_at: null } as const;

/** The domain is free and looked at next at `nextLookAt` (or as was planned), or at a wake-up that came before. */
export function looksAt(eb: Columns, nextLookAt: number | undefined) {
  const next = soonest(eb, nextLookAt);
  return { next_look_at: next, due_at: next };
}

export function soonest(eb: Columns, nextLookAt: number | undefined): Expression<number> {
  const planned = nextLookAt === undefined ? eb.ref('next_look_at') : eb.val(nextLookAt);
  return eb
    .case()
    .when(eb.and([eb('wake_at', 'is not', null), eb('wake_at', '<', planned)]))
    .then(eb.ref('wake_at').$castTo<number>())
    .else(planned)
    .end();
}
