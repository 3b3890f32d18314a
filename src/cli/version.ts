/** `keyturn version`: what runs here. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { globals, withExamples } from './context.ts';
import { programVersion } from './version-number.ts';

export function versionCommand({ terminal }: CommandContext): Command {
  const command = new Command('version').description('Print the versions of Keyturn, Node, OpenSSL and SQLite.');
  withExamples(command, [['keyturn version --json', 'for a bug report']]);
  return command.action(async () => {
    const { default: Database } = await import('better-sqlite3');
    const database = new Database(':memory:');
    const sqlite = String(database.prepare('select sqlite_version()').pluck().get());
    database.close();
    const versions = {
      keyturn: programVersion(),
      node: process.versions.node,
      openssl: process.versions.openssl,
      sqlite,
      platform: `${process.platform} ${process.arch}`,
    };
    if (globals(command).json) terminal.out(`${JSON.stringify(versions)}\n`);
    else for (const [name, version] of Object.entries(versions)) terminal.out(`${name.padEnd(9)} ${version}\n`);
  });
}
