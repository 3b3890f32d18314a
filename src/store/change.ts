/** Commits: a compare-and-set on the domain's version, and with it, in one transaction, all that changed. */

import { sql } from 'kysely';
import type { Clock } from '../lifecycle/clock.ts';
import type { Snapshot } from '../lifecycle/types.ts';
import { changedColumns, writeChildren } from './children.ts';
import { keepFormerKeys } from './history.ts';
import { canonicalJson, type Json } from './json.ts';
import { heldBy, looksAt, released, soonest } from './leases.ts';
import { saveProofs } from './proofs.ts';
import { domainToRow, worstSeverity } from './rows.ts';
import { type Secrets, StalePool } from './secrets.ts';
import type { AddResult, Change, CommitResult, Guard, NewDomain, PolicyRef } from './store.ts';
import type { Trx } from './tables.ts';
import { addTo, counterOf, tallyConditions, tallySnapshot } from './tally.ts';
import type { Batch, Writer } from './writer.ts';

export async function addDomain(writer: Writer, secrets: Secrets, clock: Clock, domain: NewDomain): Promise<AddResult> {
  const { snapshot, policy, nextLookAt } = domain;
  const { name } = snapshot.domain;
  const work = async (batch: Batch): Promise<AddResult> => {
    const { trx } = batch;
    const repeated = await once(trx, domain.once);
    if (repeated) return repeated;
    if (await trx.selectFrom('domains').select('name').where('name', '=', name).executeTakeFirst())
      return { kind: 'exists' };
    if (policy.kind === 'named') {
      const known = await trx.selectFrom('policies').select('name').where('name', '=', policy.name).executeTakeFirst();
      if (!known) return { kind: 'no-such-policy' };
    }
    const version = (await versionFloor(batch)) + 1;
    await trx
      .insertInto('domains')
      .values({
        ...domainToRow(snapshot.domain),
        ...policyColumns(policy),
        version,
        severity: worstSeverity(snapshot.conditions),
        next_look_at: nextLookAt,
        due_at: nextLookAt,
        wake_at: null,
        lease_owner: null,
        lease_token: 0,
        lease_until: null,
      })
      .execute();
    const empty: Snapshot = { ...snapshot, streams: [], keys: [], signers: [], conditions: [] };
    await writeChildren(trx, empty, snapshot, clock.now());
    await secrets.save(batch, snapshot, domain.secrets ?? []);
    tallySnapshot(batch.tally, snapshot, 1);
    batch.events.push(...domain.events);
    await remember(trx, clock, domain.once);
    return { kind: 'added', version };
  };
  return await writer.write(work).catch((error: unknown): AddResult => {
    if (error instanceof StalePool) return { kind: 'pool' };
    throw error;
  });
}

export async function commit(
  writer: Writer,
  secrets: Secrets,
  clock: Clock,
  guard: Guard,
  change: Change,
): Promise<CommitResult> {
  const work = async (batch: Batch): Promise<CommitResult> => {
    const { trx } = batch;
    const repeated = await once(trx, change.once);
    if (repeated) return repeated;
    const stale = change.after
      ? await advance(trx, guard, change, change.after)
      : await forget(batch, guard, clock.now());
    if (stale) return stale;
    if (change.after) {
      await writeChildren(trx, change.before, change.after, clock.now());
      await secrets.save(batch, change.after, change.secrets ?? []);
      await secrets.destroy(trx, change.destroy ?? []);
      await saveProofs(trx, change.proofs ?? []);
    }
    tallyChange(batch, change);
    batch.events.push(...change.events);
    await remember(trx, clock, change.once);
    return { kind: 'committed', version: guard.version + 1 };
  };
  return await writer.write(work).catch((error: unknown): CommitResult => {
    if (error instanceof StalePool) return { kind: 'stale', why: 'pool' };
    throw error;
  });
}

type Stale = Extract<CommitResult, { kind: 'stale' }>;

/** The compare-and-set itself. */
async function advance(trx: Trx, guard: Guard, change: Change, after: Snapshot): Promise<Stale | undefined> {
  const { before, nextLookAt, policy } = change;
  const held = 'claim' in guard && change.release !== true;
  const { numUpdatedRows } = await trx
    .updateTable('domains')
    .set({
      version: guard.version + 1,
      ...changedColumns(domainToRow(before.domain), domainToRow(after.domain)),
      ...changedColumns({ severity: worstSeverity(before.conditions) }, { severity: worstSeverity(after.conditions) }),
      ...(policy ? policyColumns(policy) : {}),
    })
    .$if('claim' in guard && change.release === true, (q) =>
      q.set((eb) => ({ ...looksAt(eb, nextLookAt), ...released })),
    )
    .$if(held && nextLookAt !== undefined, (q) => q.set((eb) => ({ next_look_at: soonest(eb, nextLookAt) })))
    .$if(!('claim' in guard) && nextLookAt !== undefined, (q) =>
      // Somebody else may be looking right now: the domain is then due when that lease ends or is given back.
      q.set((eb) => {
        const next = soonest(eb, nextLookAt);
        return {
          next_look_at: next,
          due_at: eb.case().when('lease_until', 'is', null).then(next).else(eb.ref('due_at')).end(),
        };
      }),
    )
    .where('version', '=', guard.version)
    .where('claim' in guard ? heldBy(guard.claim) : (eb) => eb('name', '=', guard.name))
    .executeTakeFirst();
  return numUpdatedRows === 0n ? await whyStale(trx, guard) : undefined;
}

async function forget(batch: Batch, guard: Guard, now: number): Promise<Stale | undefined> {
  const { trx, locked } = batch;
  const wanted = trx
    .selectFrom('domains')
    .select('name')
    .where('version', '=', guard.version)
    .where('claim' in guard ? heldBy(guard.claim) : (eb) => eb('name', '=', guard.name));
  const domain = await locked(wanted).executeTakeFirst();
  if (!domain) return await whyStale(trx, guard);
  await keepFormerKeys(trx, domain.name, now);
  await trx.deleteFrom('domains').where('name', '=', domain.name).execute();
  // A domain of the same name that comes later must not be mistaken for this one.
  const floor = Math.max(await versionFloor(batch), guard.version);
  await sql`replace into meta (name, value) values ('version-floor', ${String(floor)})`.execute(trx);
  return undefined;
}

async function whyStale(trx: Trx, guard: Guard): Promise<Stale> {
  const name = 'claim' in guard ? guard.claim.name : guard.name;
  const row = await trx.selectFrom('domains').select('version').where('name', '=', name).executeTakeFirst();
  if (!row) return { kind: 'stale', why: 'gone' };
  return { kind: 'stale', why: row.version === guard.version ? 'lease' : 'version' };
}

async function versionFloor({ trx, locked }: Batch): Promise<number> {
  const floor = trx.selectFrom('meta').select('value').where('name', '=', 'version-floor');
  const row = await locked(floor).executeTakeFirst();
  return row ? Number(row.value) : 0;
}

function policyColumns(ref: PolicyRef) {
  return ref.kind === 'named'
    ? { policy_name: ref.name, policy_own: null }
    : { policy_name: null, policy_own: JSON.stringify(ref.policy) };
}

function tallyChange({ tally }: Batch, { before, after }: Change): void {
  if (!after) {
    tallySnapshot(tally, before, -1);
    return;
  }
  if (before.keys !== after.keys) {
    for (const key of before.keys) addTo(tally, counterOf.key(key.state), -1);
    for (const key of after.keys) addTo(tally, counterOf.key(key.state), 1);
  }
  if (before.domain.kind !== after.domain.kind) {
    addTo(tally, counterOf.domain(before.domain.kind), -1);
    addTo(tally, counterOf.domain(after.domain.kind), 1);
  }
  if (before.conditions !== after.conditions) {
    tallyConditions(tally, before.conditions, -1);
    tallyConditions(tally, after.conditions, 1);
  }
}

type Once = { readonly key: string; readonly result: Json } | undefined;

async function once(trx: Trx, request: Once): Promise<{ kind: 'repeated'; result: Json } | undefined> {
  if (!request) return undefined;
  const row = await trx.selectFrom('results').select('result').where('key', '=', request.key).executeTakeFirst();
  return row ? { kind: 'repeated', result: JSON.parse(row.result) as Json } : undefined;
}

async function remember(trx: Trx, clock: Clock, request: Once): Promise<void> {
  if (!request) return;
  await trx
    .insertInto('results')
    .values({ key: request.key, at: clock.now(), result: canonicalJson(request.result) })
    .execute();
}
