/** Streams, keys, signers and conditions of a domain: rows are written only where an entity changed, and of a row only the columns that did. */
import { sql } from 'kysely';
import type { Snapshot } from '../lifecycle/types.ts';
import { keepFormerKeys } from './history.ts';
import { canonicalJson } from './json.ts';
import { conditionToRow, keyToRow, signerToRow, streamToRow } from './rows.ts';
import type { Trx } from './tables.ts';

/** What differs in the second; for an update that touches no index it need not. */
export function changedColumns<R extends object>(before: R, after: R): Partial<R> {
  const changed: Partial<R> = {};
  for (const column of Object.keys(after) as Array<keyof R>) {
    if (before[column] !== after[column]) changed[column] = after[column];
  }
  return changed;
}

/** `at`: when, for what is kept of keys that go. */
export async function writeChildren(trx: Trx, before: Snapshot, after: Snapshot, at: number): Promise<void> {
  const domain = after.domain.name;
  await writeStreams(trx, domain, before, after);
  await writeKeys(trx, domain, before, after, at);
  await writeSigners(trx, domain, before, after);
  await writeConditions(trx, domain, before, after);
}

async function writeStreams(trx: Trx, domain: string, before: Snapshot, after: Snapshot): Promise<void> {
  const toRow = (stream: Snapshot['streams'][number], ord: number) => streamToRow(domain, ord, stream);
  const { gone, added, changed } = differences(before.streams, after.streams, (stream) => stream.name, toRow);
  for (const name of gone) {
    await trx.deleteFrom('streams').where('domain', '=', domain).where('name', '=', name).execute();
  }
  for (const [name, columns] of changed) {
    await trx.updateTable('streams').set(columns).where('domain', '=', domain).where('name', '=', name).execute();
  }
  for (const row of added) await trx.insertInto('streams').values(row).execute();
}

async function writeKeys(trx: Trx, domain: string, before: Snapshot, after: Snapshot, at: number): Promise<void> {
  const toRow = (key: Snapshot['keys'][number], ord: number) => keyToRow(domain, ord, key);
  const { gone, added, changed } = differences(before.keys, after.keys, (key) => key.id, toRow);
  if (gone.length > 0) await keepFormerKeys(trx, domain, at, gone);
  for (const id of gone) await trx.deleteFrom('keys').where('domain', '=', domain).where('id', '=', id).execute();
  // Most looks only credit each key's waits: those keys share one statement.
  const credited: Array<readonly [id: string, facts: string]> = [];
  for (const [id, columns] of changed) {
    const { facts, ...others } = columns;
    if (facts !== undefined && Object.keys(others).length === 0) credited.push([id, facts]);
    else await trx.updateTable('keys').set(columns).where('domain', '=', domain).where('id', '=', id).execute();
  }
  await writeFacts(trx, domain, credited);
  for (const row of added) await trx.insertInto('keys').values(row).execute();
}

async function writeFacts(
  trx: Trx,
  domain: string,
  [first, ...rest]: ReadonlyArray<readonly [id: string, facts: string]>,
): Promise<void> {
  if (!first) return;
  const ids = [first, ...rest].map(([id]) => id);
  await trx
    .updateTable('keys')
    .set({
      facts:
        rest.length === 0
          ? first[1]
          : sql<string>`case id ${sql.join(
              [first, ...rest].map(([id, facts]) => sql`when ${id} then ${facts}`),
              sql` `,
            )} end`,
    })
    .where('domain', '=', domain)
    .where('id', 'in', ids)
    .execute();
}

async function writeSigners(trx: Trx, domain: string, before: Snapshot, after: Snapshot): Promise<void> {
  const toRow = (signer: Snapshot['signers'][number], ord: number) => signerToRow(domain, ord, signer);
  const { gone, added, changed } = differences(before.signers, after.signers, (signer) => signer.id, toRow);
  for (const id of gone) await trx.deleteFrom('signers').where('domain', '=', domain).where('id', '=', id).execute();
  for (const [id, columns] of changed) {
    await trx.updateTable('signers').set(columns).where('domain', '=', domain).where('id', '=', id).execute();
  }
  for (const row of added) await trx.insertInto('signers').values(row).execute();
}

/** Conditions have no identity of their own: they are compared place by place, by content, for each look makes them anew. */
async function writeConditions(trx: Trx, domain: string, before: Snapshot, after: Snapshot): Promise<void> {
  if (before.conditions === after.conditions) return;
  for (const [ord, condition] of after.conditions.entries()) {
    const old = before.conditions[ord];
    if (old === condition) continue;
    const row = conditionToRow(domain, ord, condition);
    if (!old) await trx.insertInto('conditions').values(row).execute();
    else if (canonicalJson(old) !== canonicalJson(condition)) {
      await trx.updateTable('conditions').set(row).where('domain', '=', domain).where('ord', '=', ord).execute();
    }
  }
  if (before.conditions.length > after.conditions.length) {
    await trx
      .deleteFrom('conditions')
      .where('domain', '=', domain)
      .where('ord', '>=', after.conditions.length)
      .execute();
  }
}

interface Differences<R> {
  readonly gone: readonly string[];
  readonly added: readonly R[];
  readonly changed: ReadonlyArray<readonly [id: string, columns: Partial<R>]>;
}

function differences<T, R extends object>(
  before: readonly T[],
  after: readonly T[],
  idOf: (entity: T) => string,
  toRow: (entity: T, ord: number) => R,
): Differences<R> {
  if (before === after) return { gone: [], added: [], changed: [] };
  const old = new Map(before.map((entity, ord) => [idOf(entity), { entity, ord }]));
  const added: R[] = [];
  const changed: Array<readonly [string, Partial<R>]> = [];
  for (const [ord, entity] of after.entries()) {
    const id = idOf(entity);
    const known = old.get(id);
    old.delete(id);
    if (!known) added.push(toRow(entity, ord));
    else if (known.entity !== entity || known.ord !== ord) {
      const columns = changedColumns(toRow(known.entity, known.ord), toRow(entity, ord));
      if (Object.keys(columns).length > 0) changed.push([id, columns]);
    }
  }
  return { gone: [...old.keys()], added, changed };
}
