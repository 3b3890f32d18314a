/** Listening on a UNIX socket: its mode and group are right before anybody can reach it, and a live one is never taken over. */
import { randomBytes } from 'node:crypto';
import { chmod, chown, link, lstat, readFile, rename, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';

export interface UnixSocketOptions {
  readonly path: string;
  /** Permission bits, such as 0o660. */
  readonly mode: number;
  /** Name or number; the process's own where not given. */
  readonly group?: string | undefined;
}

/** `sun_path` holds 108 octets with its final NUL. */
const longestPath = 107;

/**
 * The socket is made under a passing name beside its path and then linked to it, which fails where something is there: a
 * socket that nobody listens on is moved away first. Gives the function that removes the path, if it is still ours.
 * @throws Error where another process listens there, or the path is not a socket.
 */
export async function listenUnix(server: Server, options: UnixSocketOptions): Promise<() => Promise<void>> {
  const { path } = options;
  const suffix = `.${randomBytes(3).toString('hex')}`;
  const passing = path + suffix;
  if (Buffer.byteLength(passing) > longestPath) {
    throw new Error(
      `Listening on ${path}: the path of a UNIX socket may have ${longestPath - suffix.length} octets at most`,
    );
  }
  const gid = options.group === undefined ? undefined : await groupId(options.group);
  await listen(server, passing);
  try {
    if (gid !== undefined) await chown(passing, -1, gid);
    await chmod(passing, options.mode);
    const { ino, dev } = await lstat(passing);
    for (let attempt = 0; ; attempt++) {
      try {
        await link(passing, path);
        break;
      } catch (error) {
        if (codeOf(error) !== 'EEXIST' || attempt === 3) throw error;
        await clearStale(path, `${passing}x`);
      }
    }
    await unlink(passing);
    return async () => {
      const there = await lstat(path).catch(() => null);
      if (there !== null && there.ino === ino && there.dev === dev) await unlink(path).catch(() => undefined);
    };
  } catch (error) {
    await new Promise((resolve) => server.close(resolve));
    await unlink(passing).catch(() => undefined);
    throw error;
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Moves a dead socket out of the way; one that turns out to live after all goes back. */
async function clearStale(path: string, aside: string): Promise<void> {
  const there = await lstat(path).catch(() => null);
  if (there === null) return;
  if (!there.isSocket()) throw new Error(`Listening on ${path}: there is a file that is not a socket; move it away`);
  const inUse = `Listening on ${path}: another process listens there; stop it, or choose another path`;
  if (await isAlive(path)) throw new Error(inUse);
  await rename(path, aside);
  if (await isAlive(aside)) {
    await rename(aside, path);
    throw new Error(inUse);
  }
  await unlink(aside);
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // Refused: nobody listens. Anything else, such as a full queue or missing rights, is somebody.
    socket.once('error', (error) => resolve(!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error) ?? '')));
  });
}

async function groupId(group: string): Promise<number> {
  if (/^\d+$/.test(group)) return Number(group);
  const lines = (await readFile('/etc/group', 'utf8')).split('\n');
  const id = lines.map((line) => line.split(':')).find(([name]) => name === group)?.[2];
  if (id === undefined) throw new Error(`There is no group "${group}" in /etc/group to give the milter's socket to`);
  return Number(id);
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
