/** `keyturn store`: the database, its journal's head, and the keys that seal it. */
import { Command } from 'commander';
import { acceptRestoreCommand } from './accept-restore.ts';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';
import { moment, printJson } from './output.ts';
import { openSession } from './session.ts';
import { copyCommand, migrateCommand } from './store-copy.ts';

export function storeCommand(context: CommandContext): Command {
  const { terminal } = context;
  const command = new Command('store').description(
    'Show what the store holds; move it to another database; seal its private keys under a new key-encryption key.',
  );

  const status = command
    .command('status')
    .description(
      'Show the database, its size and schema version, domains and keys, the head of the journal, which instances are alive, and which key seals.',
    );
  withExamples(status, [['keyturn store status --json', 'before and after a restore, or for monitoring']]);
  status.action(async () => {
    await using session = await openSession(context, status);
    const [{ database, schemaVersion, newestSchemaVersion, journal, kek, sealedBy }, counts, instances] =
      await Promise.all([session.store.status(), session.store.counts(), session.store.listInstances()]);
    const { domains, keys, conditions } = counts;
    const { place: file, octets } = database;
    const now = session.operator.clock.now();
    const toReseal = stale(sealedBy, kek);
    if (session.json) {
      return printJson(terminal, {
        file,
        database: database.kind,
        octets,
        schemaVersion,
        newestSchemaVersion,
        domains,
        keys,
        conditions,
        journal,
        kek,
        sealedBy,
        toReseal,
        instances: instances.map((each) => ({ ...each, alive: each.expiresAt > now })),
      });
    }
    const states = Object.entries(keys).filter(([, count]) => count > 0);
    const rows = [
      [database.kind === 'sqlite' ? 'file' : 'database', `${file} (${(octets / 1_048_576).toFixed(1)} MiB)`],
      [
        'schema version',
        `${schemaVersion}${schemaVersion === newestSchemaVersion ? '' : ` of ${newestSchemaVersion}`}`,
      ],
      ['domains', `${domains.mail} mail, ${domains.shadow} shadow`],
      ['keys', states.length === 0 ? 'none' : states.map(([state, count]) => `${count} ${state}`).join(', ')],
      ['conditions', `${conditions.critical} critical, ${conditions.warning} warning, ${conditions.info} info`],
      ['journal', `${journal.entries} entries, head ${journal.head}`],
      ...instances.map(({ name, host, pid, roles, seenAt, expiresAt }, index) => [
        index === 0 ? 'instances' : '',
        `${name} on ${host} (pid ${pid}; ${roles.join(', ')}), ${expiresAt > now ? 'alive' : 'not heard of'}, last seen ${moment(seenAt, true)}`,
      ]),
      [
        'sealed by',
        `key-encryption key ${kek}${toReseal === 0 ? '' : `; ${toReseal} private keys by an earlier one: keyturn store reseal`}`,
      ],
    ];
    for (const [name = '', value = ''] of rows) terminal.out(`${name.padEnd(16)}${value}\n`);
  });

  const reseal = command
    .command('reseal')
    .description(
      'Seal every private key anew under the key-encryption key that comes first now. It may run beside a server, be interrupted, and be begun again.',
    )
    .option('--dry-run', 'say how many keys it would be, do nothing', false);
  withExamples(reseal, [
    ['keyturn store reseal', 'after a new line was put above the old one in the key file, and the server restarted'],
  ]);
  reseal.action(async () => {
    await using session = await openSession(context, reseal);
    const { store, operator } = session;
    const { kek, sealedBy } = await store.status();
    const toReseal = stale(sealedBy, kek);
    const dryRun = operator.dryRun === true;
    const resealed = dryRun ? 0 : await store.reseal();
    if (resealed > 0) {
      const { actor, clock } = operator;
      const details = { keys: resealed, kek };
      await store.journal.append([
        { actor: actor.name, source: actor.source, domain: null, kind: 'store-resealed', details, at: clock.now() },
      ]);
    }
    if (session.json) return printJson(terminal, { dryRun, kek, toReseal, resealed });
    if (dryRun) return terminal.out(`${toReseal} private keys would be sealed anew under ${kek}; nothing was done.\n`);
    terminal.out(
      resealed === 0
        ? `Every private key is sealed under ${kek} already.\n`
        : `${resealed} private keys are sealed anew under ${kek}.\n`,
    );
    terminal.out(
      'Earlier keys may go from the key file (or from KEYTURN_KEK_OLD) once every server runs with the new one; backups of before still need them.\n',
    );
  });
  command.addCommand(migrateCommand(context));
  command.addCommand(copyCommand(context));
  command.addCommand(acceptRestoreCommand(context));
  return command;
}

function stale(sealedBy: Readonly<Record<string, number>>, kek: string): number {
  return Object.entries(sealedBy).reduce((sum, [id, count]) => (id === kek ? sum : sum + count), 0);
}
