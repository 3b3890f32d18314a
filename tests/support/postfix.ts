/** A Postfix instance of our own: its own configuration, queue and data folders; mail in by SMTP, out to one next hop. Needs root. */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepts, freePort } from './ports.ts';
import { runOk, spawnServer, waitFor } from './processes.ts';
import { type TempDir, tempDir } from './temp.ts';

export interface PostfixOptions {
  /** As in `smtpd_milters`: `inet:127.0.0.1:8891` or `unix:/path`. */
  readonly milters: readonly string[];
  /** Port on 127.0.0.1 that all mail goes to. */
  readonly nextHop: number;
  /** Further lines of main.cf. */
  readonly extra?: readonly string[];
}

export interface PostfixServer extends AsyncDisposable {
  readonly port: number;
  /** Its mail log so far. */
  log(): string;
  /** Messages that have been taken and not delivered yet. */
  queued(): Promise<number>;
  /** Hands a message in on the machine itself, as cron and scripts do: through `sendmail`, past the SMTP server. */
  sendmail(message: string, from: string, to: string): Promise<void>;
  stop(): Promise<void>;
}

/** @throws Error with the mail log when it does not come up. */
export async function startPostfix(options: PostfixOptions): Promise<PostfixServer> {
  const dir = tempDir('postfix');
  const port = await freePort();
  const log = (): string => (existsSync(dir.join('mail.log')) ? readFileSync(dir.join('mail.log'), 'utf8') : '');
  try {
    const config = configure(options, dir, port);
    // Makes the queue's folders. The master is started without the `postfix` script, which would put it into a session
    // of its own, out of reach of whoever must end it.
    await runOk('postfix', ['-c', config, 'check']);
    const daemons = (await runOk('postconf', ['-c', config, '-h', 'daemon_directory'])).trim();
    const master = await spawnServer({
      name: 'postfix',
      command: join(daemons, 'master'),
      args: ['-c', config, '-d'],
      ready: () => accepts(port),
    });
    const stop = async (): Promise<void> => {
      await master.stop();
      // The master's children end by themselves once it is gone; their folder must outlive them.
      await waitFor(() => accepts(port).then((yes) => !yes), { what: 'Postfix to let go of its port' });
      dir.remove();
    };
    return {
      port,
      log,
      queued: async () => {
        const listing = await runOk('postqueue', ['-c', config, '-j']);
        return listing.split('\n').filter((line) => line !== '').length;
      },
      sendmail: async (message, from, to) => {
        await runOk('sendmail', ['-C', config, '-i', '-f', from, to], { input: message, env: { MAIL_CONFIG: config } });
      },
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    const text = log();
    dir.remove();
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${text}`);
  }
}

function configure(options: PostfixOptions, dir: TempDir, port: number): string {
  // Its daemons give up root: they must be able to walk down to their folders.
  chmodSync(dir.path, 0o755);
  const config = dir.join('etc');
  for (const folder of ['etc', 'queue', 'data']) mkdirSync(dir.join(folder), { mode: 0o755 });
  const owner = postfixUser();
  chownSync(dir.join('data'), owner, statSync('/').gid);
  const main = [
    'compatibility_level = 3.6',
    `queue_directory = ${dir.join('queue')}`,
    `data_directory = ${dir.join('data')}`,
    'mail_owner = postfix',
    'setgid_group = postdrop',
    'myhostname = mail.example.test',
    'mydestination =',
    'local_recipient_maps =',
    'alias_maps =',
    'alias_database =',
    'inet_interfaces = 127.0.0.1',
    'inet_protocols = ipv4',
    'mynetworks = 127.0.0.0/8',
    'smtpd_relay_restrictions = permit_mynetworks, reject',
    `relayhost = [127.0.0.1]:${options.nextHop}`,
    // Nothing leaves the machine, not even a question.
    'smtp_dns_support_level = disabled',
    'smtp_host_lookup = native',
    'smtpd_peername_lookup = no',
    'smtp_tls_security_level = none',
    'smtpd_tls_security_level = none',
    'notify_classes =',
    'queue_run_delay = 1s',
    'minimal_backoff_time = 1s',
    'maximal_backoff_time = 2s',
    'smtpd_client_connection_rate_limit = 0',
    'smtpd_client_connection_count_limit = 0',
    `smtpd_milters = ${options.milters.join(' ')}`,
    `non_smtpd_milters = ${options.milters.join(' ')}`,
    'milter_default_action = tempfail',
    'milter_protocol = 6',
    `maillog_file = ${dir.join('mail.log')}`,
    `maillog_file_prefixes = ${dir.path}`,
    ...(options.extra ?? []),
    '',
  ];
  const services = [
    `127.0.0.1:${port} inet n - n - 20 smtpd`,
    'pickup unix n - n 60 1 pickup',
    'cleanup unix n - n - 0 cleanup',
    'qmgr unix n - n 300 1 qmgr',
    'rewrite unix - - n - - trivial-rewrite',
    'bounce unix - - n - 0 bounce',
    'defer unix - - n - 0 bounce',
    'trace unix - - n - 0 bounce',
    'verify unix - - n - 1 verify',
    'flush unix n - n 1000? 0 flush',
    'proxymap unix - - n - - proxymap',
    'smtp unix - - n - 8 smtp',
    'relay unix - - n - 8 smtp',
    'showq unix n - n - - showq',
    'error unix - - n - - error',
    'retry unix - - n - - error',
    'discard unix - - n - - discard',
    'anvil unix - - n - 1 anvil',
    'scache unix - - n - 1 scache',
    'postlog unix-dgram n - n - 1 postlogd',
    '',
  ];
  writeFileSync(dir.join('etc', 'main.cf'), main.join('\n'));
  writeFileSync(dir.join('etc', 'master.cf'), services.join('\n'));
  return config;
}

function postfixUser(): number {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('postfix:'));
  const uid = Number(line?.split(':')[2]);
  if (!Number.isInteger(uid)) throw new Error('Starting Postfix: there is no user "postfix"; apt-get install postfix');
  return uid;
}
