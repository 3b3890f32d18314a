/**
 * An Exim of our own. Debian's package does not go beside Postfix, so it is fetched and unpacked into a cache, never installed. It runs without
 * any privilege under a number of its own, which libnss-wrapper gives the name that Debian's build insists on.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missing, needRoot } from './need.ts';
import { accepts, freePort } from './ports.ts';
import { type RunningServer, runOk, spawnServer } from './processes.ts';
import { tempDir } from './temp.ts';

/** Nobody's number on Debian: Exim's user here, and the group that may read its key files. */
export const eximUser = 61_234;
/** Outside the checkout, which that user may not be able to reach. */
const cache = join(tmpdir(), 'keyturn-test-exim-4.96');
const packages = ['exim4-daemon-light', 'libidn12', 'libnss-wrapper'];
const libraries = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map((folder) => `${cache}/usr/lib/${folder}`);
const program = `${cache}/usr/sbin/exim4`;

/** Whether Exim is there, or can be fetched from Debian. */
export function needExim(): boolean {
  if (!needRoot('Exim')) return false;
  if (starts()) return true;
  const why = fetchExim();
  return why === null && starts()
    ? true
    : missing(`Exim: ${why ?? 'it does not start'}; apt-get update, and run again`);
}

function starts(): boolean {
  // A folder of somebody else's under our name is none to run programs from.
  if (!existsSync(program) || statSync(cache).uid !== process.getuid?.()) return false;
  return spawnSync(command, [...unprivileged, '-C', '/dev/null', '-bV'], { env: environment() }).status === 0;
}

/** What went wrong, or null. Two test files at once do no harm: the whole folder is renamed into place. */
function fetchExim(): string | null {
  const draft = `${cache}.${process.pid}`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  try {
    const fetch = () => spawnSync('apt-get', ['download', '-qq', ...packages], { cwd: draft, encoding: 'utf8' });
    let fetched = fetch();
    if (fetched.status !== 0 && process.env.CI === 'true') {
      spawnSync('apt-get', ['update', '-qq']);
      fetched = fetch();
    }
    if (fetched.status !== 0) return `apt-get download failed: ${(fetched.stderr ?? '').trim().slice(-300)}`;
    for (const file of readdirSync(draft).filter((name) => name.endsWith('.deb'))) {
      const unpacked = spawnSync('dpkg', ['-x', `${draft}/${file}`, draft], { encoding: 'utf8' });
      if (unpacked.status !== 0) return `dpkg -x ${file} failed: ${unpacked.stderr.trim()}`;
      rmSync(`${draft}/${file}`);
    }
    // Set-user-id programs ignore what tells them where their libraries are.
    chmodSync(`${draft}/usr/sbin/exim4`, 0o755);
    chmodSync(draft, 0o755);
    writeFileSync(
      `${draft}/passwd`,
      `${readFileSync('/etc/passwd', 'utf8')}Debian-exim:x:${eximUser}:${eximUser}::/:/bin/false\n`,
    );
    writeFileSync(`${draft}/group`, `${readFileSync('/etc/group', 'utf8')}Debian-exim:x:${eximUser}:\n`);
    if (existsSync(cache)) rmSync(cache, { recursive: true, force: true });
    renameSync(draft, cache);
    return null;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function environment(): Readonly<Record<string, string>> {
  return {
    PATH: process.env.PATH ?? '',
    LD_LIBRARY_PATH: libraries.join(':'),
    LD_PRELOAD: 'libnss_wrapper.so',
    NSS_WRAPPER_PASSWD: `${cache}/passwd`,
    NSS_WRAPPER_GROUP: `${cache}/group`,
  };
}

/** Whoever runs the tests gives up everything first. */
const command = 'setpriv';
const unprivileged = [`--reuid=${eximUser}`, `--regid=${eximUser}`, '--clear-groups', program];

export interface EximOptions {
  /** Lines of the transport's DKIM options. */
  readonly dkim: readonly string[];
  /** Port of 127.0.0.1 that mail to this recipient goes to; what is not listed goes to `nextHop`. */
  readonly routes?: Readonly<Record<string, number>>;
  readonly nextHop: number;
  /** Of 127.0.0.1; a free one by default. */
  readonly port?: number;
}

export interface EximServer extends AsyncDisposable {
  readonly port: number;
  readonly process: RunningServer;
  log(): string;
  /** Messages that have been taken and not delivered yet. */
  queued(): Promise<number>;
  /** Tries the queue once. */
  runQueue(): Promise<void>;
  /** What Exim makes of an expansion. */
  expand(text: string): Promise<string>;
  stop(): Promise<void>;
}

export async function startExim({ dkim, routes = {}, nextHop, port: wanted }: EximOptions): Promise<EximServer> {
  const dir = tempDir('exim');
  const port = wanted ?? (await freePort());
  chmodSync(dir.path, 0o755);
  for (const folder of ['spool', 'log']) {
    mkdirSync(dir.join(folder));
    chownSync(dir.join(folder), eximUser, eximUser);
  }
  const config = dir.join('exim.conf');
  const transports = [...Object.values(routes), nextHop].map((to) => [
    `to${to}:`,
    '  driver = smtp',
    `  port = ${to}`,
    '  allow_localhost',
    '  hosts_try_fastopen =',
    ...dkim.map((line) => `  ${line}`),
  ]);
  const router = (name: string, condition: string, to: number): readonly string[] => [
    `${name}:`,
    '  driver = manualroute',
    ...(condition === '' ? [] : [condition]),
    `  transport = to${to}`,
    '  route_list = * 127.0.0.1',
    '  self = send',
  ];
  writeFileSync(
    config,
    [
      'primary_hostname = mail.example.test',
      'deliver_drop_privilege',
      `spool_directory = ${dir.join('spool')}`,
      `log_file_path = ${dir.join('log')}/%slog`,
      `pid_file_path = ${dir.join('log')}/exim.pid`,
      'local_interfaces = 127.0.0.1',
      `daemon_smtp_ports = ${port}`,
      'host_lookup =',
      'rfc1413_query_timeout = 0s',
      'acl_smtp_rcpt = accept_all',
      'acl_not_smtp = accept_all',
      'keep_environment = PATH : LD_LIBRARY_PATH : LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP',
      'queue_run_in_order = false',
      'tls_advertise_hosts =',
      'begin acl',
      'accept_all:',
      '  accept control = dkim_disable_verify',
      'begin routers',
      ...Object.entries(routes).flatMap(([recipient, to], index) =>
        router(`route${index}`, `  condition = \${if eqi{$local_part@$domain}{${recipient}}}`, to),
      ),
      ...router('others', '', nextHop),
      'begin transports',
      ...transports.flat(),
      'begin retry',
      '* * F,1h,1s',
      '',
    ].join('\n'),
  );
  const args = [...unprivileged, '-C', config];
  const env = environment();
  const log = (): string => {
    const files = readdirSync(dir.join('log'));
    return files.map((file) => readFileSync(dir.join('log', file), 'utf8')).join('\n');
  };
  try {
    const server = await spawnServer({
      name: 'exim',
      command,
      args: [...args, '-bdf', '-q1h'],
      env,
      ready: () => accepts(port),
    });
    const stop = async (): Promise<void> => {
      await server.stop();
      dir.remove();
    };
    return {
      port,
      process: server,
      log,
      queued: async () => Number((await runOk(command, [...args, '-bpc'], { env })).trim()),
      runQueue: async () => {
        await runOk(command, [...args, '-qff'], { env });
      },
      expand: async (text) => (await runOk(command, [...args, '-be', text], { env })).trimEnd(),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    const text = log();
    dir.remove();
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${text}`);
  }
}
