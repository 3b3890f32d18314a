/** An OpenDKIM of our own, as another milter to compare with or to be given keys. */
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { type RunningServer, spawnServer } from './processes.ts';
import { tempDir } from './temp.ts';

export interface OpenDkimKey {
  readonly domain: string;
  readonly selector: string;
  /** PEM. */
  readonly privateKey: string;
}

export interface OpenDkimServer extends AsyncDisposable {
  /** As Postfix wants it: `unix:/path`. */
  readonly milter: string;
  readonly socketPath: string;
  readonly process: RunningServer;
  stop(): Promise<void>;
}

/** Starts OpenDKIM in sign-only mode on a UNIX socket; one row of its tables for each key. */
export async function startOpenDkim(
  keys: readonly OpenDkimKey[],
  extra: readonly string[] = [],
): Promise<OpenDkimServer> {
  const dir = tempDir('opendkim');
  // Postfix comes to the socket as a user of its own; the key files keep their own mode.
  chmodSync(dir.path, 0o755);
  const socketPath = dir.join('milter.sock');
  const rows = keys.map((key) => {
    const file = dir.join(`${key.selector}.${key.domain}.pem`);
    writeFileSync(file, key.privateKey, { mode: 0o600 });
    return { name: `${key.selector}._domainkey.${key.domain}`, row: `${key.domain}:${key.selector}:${file}`, key };
  });
  writeFileSync(dir.join('keys'), rows.map(({ name, row }) => `${name} ${row}\n`).join(''));
  writeFileSync(dir.join('signing'), rows.map(({ name, key }) => `*@${key.domain} ${name}\n`).join(''));
  writeFileSync(
    dir.join('opendkim.conf'),
    [
      'Mode s',
      `Socket local:${socketPath}`,
      `KeyTable ${dir.join('keys')}`,
      `SigningTable refile:${dir.join('signing')}`,
      'InternalHosts 127.0.0.1',
      'Canonicalization relaxed/relaxed',
      'OversignHeaders From',
      'RequireSafeKeys no',
      'UMask 000',
      'Background no',
      ...extra,
      '',
    ].join('\n'),
  );
  try {
    const server = await spawnServer({
      name: 'opendkim',
      command: 'opendkim',
      args: ['-f', '-x', dir.join('opendkim.conf')],
      // libmilter looks for a reason to end only every five seconds; it has nothing to lose.
      stopSignal: 'SIGKILL',
      ready: () => existsSync(socketPath),
    });
    const stop = async (): Promise<void> => {
      await server.stop();
      dir.remove();
    };
    return { milter: `unix:${socketPath}`, socketPath, process: server, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    dir.remove();
    throw error;
  }
}
