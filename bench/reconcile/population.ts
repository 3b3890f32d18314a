/** A large store, filled past the repositories: one domain lives its first weeks in earnest, and the others are its likenesses. */
import SqliteDatabase from 'better-sqlite3';
import { look } from '../../src/control/look.ts';
import { newDomain } from '../../src/lifecycle/new-domain.ts';
import type { Snapshot } from '../../src/lifecycle/types.ts';
import { openMemoryStore, openStore } from '../../src/store/open.ts';
import {
  conditionToRow,
  domainToRow,
  keyToRow,
  signerToRow,
  streamToRow,
  worstSeverity,
} from '../../src/store/rows.ts';
import { type Keks, seal } from '../../src/store/sealing.ts';
import { privateKeyPlace } from '../../src/store/secrets.ts';
import type { Store } from '../../src/store/store.ts';
import { createTally, tallySnapshot } from '../../src/store/tally.ts';
import { benchContext } from './world.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

export interface Template {
  readonly snapshot: Snapshot;
  /** PKCS#8 by key id. */
  readonly privateKeys: ReadonlyMap<string, Uint8Array>;
  /** The time at which it stands so. */
  readonly at: number;
}

/** One domain under the default policy, a fortnight old: active and standby keys of both algorithms, all proved. */
export async function liveTemplate(start: number): Promise<Template> {
  let now = start;
  const clock = { now: () => now };
  await using store = await openMemoryStore(clock);
  const name = 'template.example';
  await store.addDomain({
    snapshot: newDomain(name, 'mail', now),
    policy: { kind: 'named', name: 'default' },
    events: [],
    nextLookAt: now,
  });
  const context = benchContext(store, clock);
  while (now < start + 14 * DAY) {
    const [claim] = await store.claimDue({ now, limit: 1, owner: 'bench', leaseMs: HOUR });
    if (claim) await look(claim, context);
    now = Math.max(now + 1, (await store.nextDueAt()) ?? now);
  }
  const stored = await store.snapshot(name);
  if (!stored) throw new Error('the template has left its store');
  const privateKeys = new Map<string, Uint8Array>();
  for (const key of stored.snapshot.keys) {
    const pkcs8 = await store.loadPrivateKey(key.id);
    if (pkcs8) privateKeys.set(key.id, pkcs8);
  }
  return { snapshot: stored.snapshot, privateKeys, at: stored.snapshot.domain.lastLookAt ?? now };
}

export function domainName(n: number): string {
  return `domain-${String(n).padStart(8, '0')}.example`;
}

/** Likenesses under names of their own. The first `due` are to be looked at in an hour, the others in a day. */
export async function populate(options: {
  path: string;
  keks: Keks;
  template: Template;
  domains: number;
  due: number;
  progress: (done: number) => void;
}): Promise<void> {
  const { path, keks, template, domains, due, progress } = options;
  await (await openStore({ path, keks })).close();
  const database = new SqliteDatabase(path);
  // Nothing here outlives a crash, and nothing needs to: the file is thrown away.
  database.pragma('journal_mode = OFF');
  database.pragma('synchronous = OFF');
  database.pragma('foreign_keys = OFF');
  database.pragma('cache_size = -500000');
  // Indexes are built at the end, in one pass each.
  const indexes = database
    .prepare<[], { name: string; sql: string }>(
      `select name, sql from sqlite_master where type = 'index' and sql is not null`,
    )
    .all();
  for (const { name } of indexes) database.exec(`drop index "${name}"`);

  const inserts = new Map<string, SqliteDatabase.Statement>();
  const insert = (table: string, row: object): void => {
    let statement = inserts.get(table);
    if (!statement) {
      const columns = Object.keys(row);
      statement = database.prepare(
        `insert into ${table} (${columns.join(', ')}) values (${columns.map(() => '?').join(', ')})`,
      );
      inserts.set(table, statement);
    }
    statement.run(...Object.values(row));
  };

  const tally = createTally();
  for (let n = 0; n < domains; ) {
    database.exec('begin');
    for (const end = Math.min(domains, n + 20_000); n < end; n++) {
      const name = domainName(n);
      const snapshot = likeness(template.snapshot, name, n);
      const nextLookAt = template.at + (n < due ? HOUR : DAY);
      insert('domains', {
        ...domainToRow(snapshot.domain),
        version: 1,
        policy_name: 'default',
        severity: worstSeverity(snapshot.conditions),
        next_look_at: nextLookAt,
        due_at: nextLookAt,
        lease_token: 0,
      });
      for (const [ord, stream] of snapshot.streams.entries()) insert('streams', streamToRow(name, ord, stream));
      for (const [ord, signer] of snapshot.signers.entries()) insert('signers', signerToRow(name, ord, signer));
      for (const [ord, condition] of snapshot.conditions.entries())
        insert('conditions', conditionToRow(name, ord, condition));
      for (const [ord, key] of snapshot.keys.entries()) {
        insert('keys', keyToRow(name, ord, key));
        const pkcs8 = template.privateKeys.get(template.snapshot.keys[ord]?.id ?? '');
        if (!pkcs8) continue;
        const sealed = seal(keks, privateKeyPlace({ id: key.id, domain: name, selector: key.selector }), pkcs8);
        insert('private_keys', { key_id: key.id, sealed, kek_id: keks.current.id });
      }
      tallySnapshot(tally, snapshot, 1);
    }
    database.exec('commit');
    progress(n);
  }
  for (const [name, value] of tally) insert('counters', { name, value });
  for (const { sql } of indexes) database.exec(sql);
  database.close();
}

function likeness(template: Snapshot, name: string, n: number): Snapshot {
  return {
    ...template,
    domain: { ...template.domain, name },
    keys: template.keys.map((key, ord) => ({ ...key, id: `k${n.toString(36).padStart(6, '0')}-${ord}` })),
  };
}

/** Pairs for the keys that a rotation makes: one pair of each algorithm, many times over, for making primes is not what is measured. */
export async function fillPool(store: Store, template: Template, count: number): Promise<void> {
  for (const algorithm of ['rsa', 'ed25519'] as const) {
    const key = template.snapshot.keys.find((k) => k.algorithm === algorithm);
    const pkcs8 = key && template.privateKeys.get(key.id);
    if (!key || !pkcs8) throw new Error(`the template has no ${algorithm} key`);
    const pair = { algorithm, bits: key.bits, publicKey: key.publicKey, pkcs8 };
    for (let done = 0; done < count; done += 500) {
      await Promise.all(Array.from({ length: Math.min(500, count - done) }, () => store.pool.put(pair)));
    }
  }
}
