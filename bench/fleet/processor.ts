/** Who used the processor: this process by its threads, and the servers beside it, from Linux' own accounts (`/proc`). */
import { readdirSync, readFileSync } from 'node:fs';

/** Seconds of processor time, user and system, by whom. */
export interface Processor {
  /** The thread that runs JavaScript. */
  readonly main: number;
  /** The thread pool: making of keys, files. */
  readonly pool: number;
  /** Garbage collection and compilation. */
  readonly engine: number;
  /** Child processes by program: `named`, `mariadbd`, `redis-server`. */
  readonly servers: Readonly<Record<string, number>>;
}

/** Jiffies a second, as every Linux that Node runs on has it. */
const HZ = 100;

export function processor(): Processor {
  let [main, pool, engine] = [0, 0, 0];
  for (const id of readdirSync('/proc/self/task')) {
    const { name, seconds } = read(`/proc/self/task/${id}/stat`) ?? { name: '', seconds: 0 };
    if (Number(id) === process.pid) main += seconds;
    else if (name.startsWith('libuv')) pool += seconds;
    else engine += seconds;
  }
  const servers: Record<string, number> = {};
  for (const id of readdirSync('/proc')) {
    if (!/^\d+$/.test(id)) continue;
    const found = read(`/proc/${id}/stat`);
    if (found?.parent === process.pid) servers[found.name] = (servers[found.name] ?? 0) + found.seconds;
  }
  return { main, pool, engine, servers };
}

export function since(before: Processor, after: Processor = processor()): Processor {
  return {
    main: after.main - before.main,
    pool: after.pool - before.pool,
    engine: after.engine - before.engine,
    servers: Object.fromEntries(
      Object.entries(after.servers).map(([name, seconds]) => [name, seconds - (before.servers[name] ?? 0)]),
    ),
  };
}

function read(file: string): { readonly name: string; readonly parent: number; readonly seconds: number } | null {
  try {
    const text = readFileSync(file, 'utf8');
    const close = text.lastIndexOf(')');
    const fields = text.slice(close + 2).split(' ');
    const [parent, user, system] = [fields[1], fields[11], fields[12]].map(Number);
    return {
      name: text.slice(text.indexOf('(') + 1, close),
      parent: parent ?? 0,
      seconds: ((user ?? 0) + (system ?? 0)) / HZ,
    };
  } catch {
    return null;
  }
}
