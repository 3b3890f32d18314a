/** Counters that are kept up with every commit, so that an overview of a million domains costs as much as one of ten. */
import type { Condition, KeyState, Snapshot } from '../lifecycle/types.ts';
import type { Counts } from './store.ts';
import type { Db, Trx } from './tables.ts';

/** Counter → what is to be added. */
export type Tally = Map<string, number>;

export function createTally(): Tally {
  return new Map();
}

export function addTo(tally: Tally, name: string, difference: number): void {
  tally.set(name, (tally.get(name) ?? 0) + difference);
}

export const counterOf = {
  domain: (kind: string) => `domain ${kind}`,
  key: (state: string) => `key ${state}`,
  severity: (severity: string) => `severity ${severity}`,
  reason: (reason: string) => `reason ${reason}`,
};

/** Counts a whole snapshot in (1) or out (-1). */
export function tallySnapshot(tally: Tally, snapshot: Snapshot, sign: 1 | -1): void {
  addTo(tally, counterOf.domain(snapshot.domain.kind), sign);
  for (const key of snapshot.keys) addTo(tally, counterOf.key(key.state), sign);
  tallyConditions(tally, snapshot.conditions, sign);
}

export function tallyConditions(tally: Tally, conditions: readonly Condition[], sign: 1 | -1): void {
  for (const { severity, reason } of conditions) {
    addTo(tally, counterOf.severity(severity), sign);
    addTo(tally, counterOf.reason(reason), sign);
  }
}

export async function applyTally(trx: Trx, tally: Tally): Promise<void> {
  // In one order everywhere, so that two that count the same things do not wait for each other in a circle.
  for (const [name, difference] of [...tally].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (difference === 0) continue;
    const { numUpdatedRows } = await trx
      .updateTable('counters')
      .set((eb) => ({ value: eb('value', '+', difference) }))
      .where('name', '=', name)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) await trx.insertInto('counters').values({ name, value: difference }).execute();
  }
}

export async function loadCounters(db: Db): Promise<ReadonlyMap<string, number>> {
  const rows = await db.selectFrom('counters').selectAll().execute();
  return new Map(rows.map(({ name, value }) => [name, value]));
}

export async function loadCounts(db: Db): Promise<Counts> {
  const counters = await loadCounters(db);
  const of = (name: string): number => counters.get(name) ?? 0;
  const key = (state: KeyState): number => of(counterOf.key(state));
  const severity = (s: Condition['severity']): number => of(counterOf.severity(s));
  const reasons = [...counters].filter(([name, value]) => name.startsWith('reason ') && value > 0);
  return {
    domains: { mail: of(counterOf.domain('mail')), shadow: of(counterOf.domain('shadow')) },
    keys: {
      created: key('created'),
      published: key('published'),
      standby: key('standby'),
      active: key('active'),
      retiring: key('retiring'),
      revoked: key('revoked'),
      removed: key('removed'),
    },
    conditions: { info: severity('info'), warning: severity('warning'), critical: severity('critical') },
    reasons: Object.fromEntries(reasons.map(([name, value]) => [name.slice('reason '.length), value])),
  };
}
