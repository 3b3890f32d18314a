/** An OpenDKIM whose tables somebody else writes: started, killed and started again in the same folder. */
import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { type RunningServer, spawnServer } from '../support/processes.ts';
import type { TempDir } from '../support/temp.ts';

export interface OpenDkimFolder {
  /** `unix:/path`. */
  readonly milter: string;
  readonly keyTable: string;
  readonly signingTable: string;
  readonly keys: string;
  readonly pidFile: string;
  start(): Promise<RunningServer>;
}

/** Writes the configuration; the tables are empty where there are none. `refile` as in docs/signers/opendkim.md. */
export function openDkimFolder(dir: TempDir, more: readonly string[] = []): OpenDkimFolder {
  chmodSync(dir.path, 0o755);
  const socket = dir.join('opendkim.sock');
  const folder = {
    milter: `unix:${socket}`,
    keyTable: dir.join('key.table'),
    signingTable: dir.join('signing.table'),
    keys: dir.join('keys'),
    pidFile: dir.join('opendkim.pid'),
  };
  for (const table of [folder.keyTable, folder.signingTable]) {
    if (!existsSync(table)) writeFileSync(table, '# Written by hand.\n');
  }
  writeFileSync(
    dir.join('opendkim.conf'),
    [
      'Mode s',
      `Socket local:${socket}`,
      `PidFile ${folder.pidFile}`,
      `KeyTable file:${folder.keyTable}`,
      `SigningTable refile:${folder.signingTable}`,
      'MultipleSignatures yes',
      'InternalHosts 127.0.0.1',
      'Canonicalization relaxed/relaxed',
      'OversignHeaders From',
      'RequireSafeKeys no',
      'UMask 000',
      'Background no',
      ...more,
      '',
    ].join('\n'),
  );
  return {
    ...folder,
    start() {
      rmSync(socket, { force: true });
      return spawnServer({
        name: 'opendkim',
        command: 'opendkim',
        args: ['-f', '-x', dir.join('opendkim.conf')],
        // libmilter looks for a reason to end only every five seconds; it has nothing to lose.
        stopSignal: 'SIGKILL',
        ready: () => existsSync(socket) && existsSync(folder.pidFile),
      });
    },
  };
}
