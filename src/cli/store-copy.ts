/** `keyturn store copy` and `keyturn store migrate`: a store to another database, and to a newer schema. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { globals, withExamples } from './context.ts';
import { refused } from './exit.ts';
import { printJson } from './output.ts';
import { userName } from './session.ts';

export function copyCommand(context: CommandContext): Command {
  const { terminal } = context;
  const command = new Command('copy')
    .description(
      'Copy a store into another, empty database: from SQLite to MySQL, back, or between two. Rows are counted and the journal verified before the copy can be opened. One that was broken off begins anew. Both are opened by the same key-encryption key.',
    )
    .requiredOption('--to <place>', 'a configuration file (.yaml), mysql://user@host/database, or the path of a file')
    .option('--from <place>', 'likewise (default: the store in force)')
    .option('--force', 'also while instances are at work on it: what they write meanwhile is not copied', false);
  withExamples(command, [
    ['keyturn store copy --to new-keyturn.yaml', 'into the database that `store` in that file names'],
    ['KEYTURN_TO_PASSWORD=… keyturn store copy --to mysql://keyturn@db/keyturn', 'without a file'],
  ]);
  return command.action(async (options: { from?: string; to: string; force: boolean }) => {
    const { config, json } = globals(command);
    const [{ loadConfig }, { copyBetween }, { systemClock }] = await Promise.all([
      import('../control/config/load.ts'),
      import('../control/copy-store.ts'),
      import('../lifecycle/clock.ts'),
    ]);
    const surroundings = { env: terminal.env, workingFolder: process.cwd() };
    let shown = '';
    const copying = copyBetween({
      loaded: loadConfig(config, surroundings),
      from: options.from ?? null,
      to: options.to,
      force: options.force,
      actor: { name: await userName(), source: 'cli' },
      clock: systemClock,
      surroundings,
      progress: (table, rows, of) => {
        // One line a table, and one more for every ten thousand rows of a large one.
        const line = `${table} ${rows === of ? '' : `${rows - (rows % 10_000)} of `}${of}`;
        if (json || line === shown || of === 0 || (rows < of && rows < 10_000)) return;
        shown = line;
        terminal.err(`${line}\n`);
      },
    });
    const { tables, journal } = await copying.catch((error: unknown) => {
      const isRefusal = error instanceof Error && 'code' in error && error.code === 'invalid';
      throw isRefusal ? refused(error.message) : error;
    });
    if (json) return printJson(terminal, { tables, journal });
    const rows = Object.values(tables).reduce((sum, count) => sum + count, 0);
    terminal.out(`Copied ${rows} rows of ${Object.keys(tables).length} tables; every count is the same.\n`);
    terminal.out(`The journal is intact there: ${journal.entries} entries, head ${journal.head}.\n`);
    terminal.out('Point `store` of every instance at the copy, and start them; then the old store can be put away.\n');
  });
}

export function migrateCommand(context: CommandContext): Command {
  const { terminal } = context;
  const command = new Command('migrate')
    .description(
      'Bring the schema of the store to what this Keyturn works with. Every command and server does so by itself when it opens the store: this is for doing it at a time of your own.',
    )
    .option('--dry-run', 'show the versions, do nothing', false);
  withExamples(command, [['keyturn store migrate --dry-run', 'before an upgrade: is there anything to do?']]);
  return command.action(async ({ dryRun }: { dryRun: boolean }) => {
    const { config, json } = globals(command);
    const [{ loadConfig }, { storeDialect, makeDataFolder }, { migrateStore, newestSchema }] = await Promise.all([
      import('../control/config/load.ts'),
      import('../control/open-store.ts'),
      import('../store/migrate.ts'),
    ]);
    const loaded = loadConfig(config, { env: terminal.env, workingFolder: process.cwd() });
    makeDataFolder(loaded);
    const dialect = storeDialect(loaded, terminal.env);
    const { before, after } = await migrateStore(dialect, dryRun);
    if (json) return printJson(terminal, { store: dialect.place, before, after, newest: newestSchema, dryRun });
    const known = `this Keyturn works with version ${newestSchema}`;
    if (before === after && before === newestSchema) terminal.out(`${dialect.place} has version ${after} already.\n`);
    else if (dryRun) terminal.out(`${dialect.place} has version ${before}; ${known}. Nothing was done.\n`);
    else terminal.out(`${dialect.place} went from version ${before} to ${after}.\n`);
  });
}
