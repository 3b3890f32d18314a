/** MariaDB of our own: a folder, a free port, a fresh database for whoever asks; killed, frozen and restarted at will. */
import { readFileSync } from 'node:fs';
import { createConnection } from 'mysql2/promise';
import { freePort } from './ports.ts';
import { type RunningServer, runOk, spawnServer, waitFor } from './processes.ts';
import { type TempDir, tempDir } from './temp.ts';

export interface MariadbOptions {
  /** Further options of the server, such as `--max-connections=5`. */
  readonly args?: readonly string[];
}

/** A fresh, empty database and who may use it. */
export interface Database {
  readonly name: string;
  /** `mysql://user@127.0.0.1:port/name`, as it stands in `store.url`. */
  readonly url: string;
  readonly password: string;
}

export interface Mariadb extends AsyncDisposable {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly socket: string;
  /** Makes a database; every one has another name. */
  database(): Promise<Database>;
  /** The same as one URL with the password in it. */
  url(): Promise<string>;
  /** Runs statements as root, each in a connection of its own; the rows of the last. */
  admin(...statements: readonly string[]): Promise<ReadonlyArray<Record<string, unknown>>>;
  /** Runs one statement with its values in one of the databases, as root. */
  ask(
    database: string,
    statement: string,
    values?: readonly unknown[],
  ): Promise<ReadonlyArray<Record<string, unknown>>>;
  /** The server's own log. */
  output(): string;
  /** Stops it with SIGSTOP: it accepts connections and says nothing. */
  freeze(): Promise<void>;
  thaw(): void;
  /** Ends it at once with SIGKILL; its port refuses from then on. */
  kill(): Promise<void>;
  /** Ends it in order; its port refuses from then on. */
  shutdown(): Promise<void>;
  /** Starts it again (after a kill or shutdown, or in place) with the data that it has. */
  restart(): Promise<void>;
  /** Ends it and removes its folder. */
  stop(): Promise<void>;
}

const USER = 'keyturn';
const PASSWORD = 'not-to-be-shown-anywhere';

/**
 * Starts `mariadbd`; ready when it answers. The user `keyturn` may do anything in databases whose names begin with `keyturn_`.
 * @throws Error with its log when it does not come up.
 */
export async function startMariadb(options: MariadbOptions = {}): Promise<Mariadb> {
  const dir = tempDir('mariadb');
  try {
    await install(dir);
    const port = await freePort();
    return handles(dir, port, await start(dir, port, options), options);
  } catch (error) {
    dir.remove();
    throw error;
  }
}

/** The system tables; small files and no waiting for the disk, for none of it outlives the test. */
async function install(dir: TempDir): Promise<void> {
  await runOk('mariadb-install-db', [
    '--no-defaults',
    `--datadir=${dir.join('data')}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    ...asUser(),
    '--innodb-log-file-size=4M',
    '--innodb-fast-shutdown=2',
    '--innodb-buffer-pool-size=16M',
    '--innodb-flush-log-at-trx-commit=0',
  ]);
}

const asUser = (): string[] => (process.getuid?.() === 0 ? ['--user=root'] : []);

function start(dir: TempDir, port: number, { args = [] }: MariadbOptions): Promise<RunningServer> {
  return spawnServer({
    name: 'mariadbd',
    command: 'mariadbd',
    args: [
      '--no-defaults',
      `--datadir=${dir.join('data')}`,
      // Where several servers share one each takes the others' temporary tables away when it starts.
      `--tmpdir=${dir.path}`,
      `--socket=${dir.join('sock')}`,
      `--pid-file=${dir.join('pid')}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      '--skip-log-bin',
      '--innodb-buffer-pool-size=64M',
      '--innodb-log-file-size=32M',
      // A killed process loses nothing by this; only a power failure would.
      '--innodb-flush-log-at-trx-commit=2',
      ...asUser(),
      ...args,
    ],
    ready: async () => {
      const connection = await createConnection({ socketPath: dir.join('sock'), user: 'root' });
      await connection.end();
      return true;
    },
  });
}

async function handles(dir: TempDir, port: number, first: RunningServer, options: MariadbOptions): Promise<Mariadb> {
  let server = first;
  let made = 0;
  const admin: Mariadb['admin'] = async (...statements) => {
    const connection = await createConnection({ socketPath: dir.join('sock'), user: 'root' });
    try {
      let rows: ReadonlyArray<Record<string, unknown>> = [];
      for (const statement of statements) {
        const [answer] = await connection.query(statement);
        rows = Array.isArray(answer) ? (answer as Array<Record<string, unknown>>) : [];
      }
      return rows;
    } finally {
      connection.destroy();
    }
  };
  const ask: Mariadb['ask'] = async (database, statement, values = []) => {
    const connection = await createConnection({ socketPath: dir.join('sock'), user: 'root', database });
    try {
      const [answer] = await connection.query(statement, [...values]);
      return Array.isArray(answer) ? (answer as Array<Record<string, unknown>>) : [];
    } finally {
      connection.destroy();
    }
  };
  const database = async (): Promise<Database> => {
    made += 1;
    const name = `keyturn_${made}`;
    await admin(`create database ${name}`);
    return { name, url: `mysql://${USER}@127.0.0.1:${port}/${name}`, password: PASSWORD };
  };
  const kill = async (): Promise<void> => {
    server.kill('SIGKILL');
    await server.exited;
  };
  const shutdown = async (): Promise<void> => {
    server.kill('SIGCONT');
    await server.stop();
  };
  const stop = async (): Promise<void> => {
    await kill();
    dir.remove();
  };
  try {
    await admin(
      `create user if not exists '${USER}'@'%' identified by '${PASSWORD}'`,
      `grant all on \`keyturn\\_%\`.* to '${USER}'@'%'`,
    );
  } catch (error) {
    await kill();
    throw error;
  }
  return {
    host: '127.0.0.1',
    port,
    socket: dir.join('sock'),
    database,
    url: async () => {
      const { name, password } = await database();
      return `mysql://${USER}:${password}@127.0.0.1:${port}/${name}`;
    },
    admin,
    ask,
    output: () => server.output(),
    freeze: async () => {
      server.kill('SIGSTOP');
      // Its threads stop one after another; the kernel says `T` once the last has.
      const stat = () => readFileSync(`/proc/${server.pid}/stat`, 'utf8');
      await waitFor(() => /^\d+ \(.*\) T/.test(stat()), { what: 'mariadbd to freeze' });
    },
    thaw: () => server.kill('SIGCONT'),
    kill,
    shutdown,
    restart: async () => {
      if (server.isRunning()) await shutdown();
      server = await start(dir, port, options);
      await waitFor(async () => (await admin('select 1 as one')).length === 1, { what: 'mariadbd to answer' });
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
