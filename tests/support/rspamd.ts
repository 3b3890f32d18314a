/** A rspamd of our own: nothing but DKIM signing, with a configuration folder of its own, beside whatever the system runs. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { need } from './need.ts';
import { accepts, freePorts } from './ports.ts';
import { type RunningServer, spawnServer } from './processes.ts';
import { tempDir } from './temp.ts';

/** Whether rspamd is installed. */
export function needRspamd(): boolean {
  return need('rspamd', 'rspamd');
}

export interface RspamdOptions {
  /** What stands in `dkim_signing { … }`. */
  readonly signing: string;
  /** More of the configuration, at its top. */
  readonly more?: string;
  /** What stands in `options { … }`. */
  readonly options?: string;
  /** Text of `plugins.d/keyturn_guard.lua`; its section exempts unsigned.example. */
  readonly guard?: string;
}

export interface RspamdServer extends AsyncDisposable {
  /** Of the scanning worker: `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** `inet:127.0.0.1:PORT` of its milter. */
  readonly milter: string;
  readonly milterPort: number;
  output(): string;
  isRunning(): boolean;
  /** Ends it without a word, as the kernel's memory killer does. */
  kill(): Promise<void>;
  /** Starts it again, on the same ports. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export async function startRspamd({ signing, more = '', options = '', guard }: RspamdOptions): Promise<RspamdServer> {
  const dir = tempDir('rspamd');
  chmodSync(dir.path, 0o755);
  for (const folder of ['conf', 'db', 'run', 'local.d', 'plugins.d']) mkdirSync(dir.join(folder));
  if (guard !== undefined) writeFileSync(dir.join('plugins.d', 'keyturn_guard.lua'), guard);
  // The real list takes ten seconds to compile.
  writeFileSync(dir.join('tlds'), 'com\nexample\norg\n');
  const [scanPort = 0, milterPort = 0] = await freePorts(2);
  const config = `
options {
  pidfile = "${dir.join('run', 'rspamd.pid')}";
  filters = "dkim";
  explicit_modules = [];
  local_addrs = [];
  dns { timeout = 1s; retransmits = 1; nameserver = ["127.0.0.1:1"]; }
  tempdir = "${dir.path}";
  url_tld = "${dir.join('tlds')}";
  control_socket = "${dir.join('run', 'control.sock')} mode=0600";
  hs_cache_dir = "${dir.join('db')}/";
  cache_file = "${dir.join('db', 'symbols.cache')}";
  history_rows = 10;
  task_timeout = 8s;
  ${options}
}
logging { type = "console"; level = "info"; log_re_cache = false; }
worker "normal" { bind_socket = "127.0.0.1:${scanPort}"; count = 1; }
worker "rspamd_proxy" {
  bind_socket = "127.0.0.1:${milterPort}";
  count = 1;
  milter = yes;
  timeout = 30s;
  upstream "local" { default = yes; self_scan = yes; }
}
metric "default" { actions { reject = 1000; } }
actions { reject = 1000; add_header = 900; greylist = 800; }
modules { path = "/usr/share/rspamd/plugins/dkim_signing.lua"; try_path = "${dir.join('plugins.d')}/"; }
dkim_signing { ${signing} }
${guard === undefined ? '' : 'keyturn_guard { exempt = ["unsigned.example"]; }'}
${more}
`;
  writeFileSync(dir.join('conf', 'rspamd.conf'), config);
  const variables = {
    CONFDIR: dir.join('conf'),
    LOCAL_CONFDIR: dir.path,
    DBDIR: dir.join('db'),
    RUNDIR: dir.join('run'),
  };
  let server: RunningServer;
  const start = async (): Promise<void> => {
    server = await spawnServer({
      name: 'rspamd',
      command: 'rspamd',
      args: [
        '-f',
        '-i',
        '-c',
        dir.join('conf', 'rspamd.conf'),
        ...Object.entries(variables).map(([name, value]) => `--var=${name}=${value}`),
      ],
      // Its workers are in its process group; they have nothing to lose.
      stopSignal: 'SIGKILL',
      // The ports are open before the workers behind them have loaded their plugins.
      ready: async () => (await answers(scanPort)) && (await accepts(milterPort)),
    });
  };
  try {
    await start();
  } catch (error) {
    dir.remove();
    throw error;
  }
  const kill = async (): Promise<void> => {
    server.kill('SIGKILL');
    await server.exited;
  };
  const stop = async (): Promise<void> => {
    await server.stop();
    dir.remove();
  };
  return {
    url: `http://127.0.0.1:${scanPort}`,
    milter: `inet:127.0.0.1:${milterPort}`,
    milterPort,
    output: () => server.output(),
    isRunning: () => server.isRunning(),
    kill,
    start,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/ping`, { signal: AbortSignal.timeout(1000) });
    return response.ok && (await response.text()).startsWith('pong');
  } catch {
    return false;
  }
}
