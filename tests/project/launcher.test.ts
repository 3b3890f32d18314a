import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { findProgram } from '../support/need.ts';
import { type Finished, run } from '../support/processes.ts';
import { type TempDir, tempDir } from '../support/temp.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

const tools = 'sh cp mv rm mkdir ln ls touch sleep readlink cksum stat grep sed tail uname flock cat'.split(' ');

/**
 * A checkout in a folder of its own, with an npm that installs from this checkout instead of the registry and takes notes.
 * Its Node is a script that says to be version 20 where `oldNode` is asked for; the real one comes as a package.
 */
function checkout(dir: TempDir, options: { oldNode?: boolean; npm?: 'works' | 'offline' | 'dies' | 'absent' } = {}) {
  const bin = dir.join('bin');
  const tree = dir.join('a checkout');
  mkdirSync(bin);
  mkdirSync(join(tree, 'src/cli'), { recursive: true });
  for (const name of ['keyturn', 'scripts', 'package.json', 'package-lock.json']) {
    cpSync(join(root, name), join(tree, name), { recursive: true });
  }
  writeFileSync(
    join(tree, 'src/cli/main.ts'),
    'const said: string = JSON.stringify({ args: process.argv.slice(2), cwd: process.cwd(), node: process.version });\nconsole.log(said);\n',
  );
  // Nothing else is in PATH: the machine's own node and npm must not be found.
  for (const tool of tools) symlinkSync(findProgram(tool) ?? tool, join(bin, tool));
  if (options.npm !== 'absent') program(join(bin, 'npm'), npmScript(dir, options.npm ?? 'works'));
  if (options.oldNode === true) program(join(bin, 'node'), 'echo false');
  else symlinkSync(process.execPath, join(bin, 'node'));
  const start = (args: readonly string[] = [], at: { cwd?: string; via?: string } = {}): Promise<Finished> =>
    run(at.via ?? join(tree, 'keyturn'), args, { cwd: at.cwd ?? tree, env: { PATH: bin, CALLS: calls } });
  const calls = dir.join('calls');
  const callsMade = (): string[] => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []);
  return { tree, start, callsMade };
}

function npmScript(dir: TempDir, how: 'works' | 'offline' | 'dies'): string {
  const packages = `mkdir -p "$folder/node_modules"
for name in "${root}"node_modules/* "${root}"node_modules/.bin; do ln -s "$name" "$folder/node_modules/"; done`;
  const node = `mkdir -p "$folder/node_modules/node-test/bin" && ln -s "${process.execPath}" "$folder/node_modules/node-test/bin/node"`;
  return `
[ "$1" = ci ] || { echo https://registry.example.test/; exit 0; }
folder=$3
echo "$*" | sed "s# --prefix .*stage[^/]*/# #" >>"$CALLS"
echo 'npm warn Unknown user config "nodedir".' >&2
${how === 'offline' ? 'echo "npm error code ENOTFOUND" >&2; exit 1' : ''}
${how === 'dies' ? `[ -e "${dir.join('died')}" ] || { touch "${dir.join('died')}"; mkdir -p "$folder/node_modules/kysely"; kill -9 $PPID; exit 1; }` : ''}
sleep 0.2
case $folder in */node) ${node} ;; *) ${packages} ;; esac`;
}

function program(path: string, script: string): void {
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

function installByHand(tree: string): void {
  mkdirSync(join(tree, 'node_modules'));
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== '.keyturn-ready') symlinkSync(join(root, 'node_modules', name), join(tree, 'node_modules', name));
  }
}

const said = (finished: Finished): { args: string[]; cwd: string; node: string } => JSON.parse(finished.stdout);

describe('the launcher', () => {
  test('sets up once, says so in one line, and then is silent', async () => {
    using dir = tempDir('launcher');
    const { tree, start, callsMade } = checkout(dir);
    const first = await start(['check', 'a b', '--json']);
    expect(first.stderr).toBe('keyturn: setting up: installing packages from the npm registry (once) …\n');
    expect(said(first)).toEqual({ args: ['check', 'a b', '--json'], cwd: tree, node: process.version });
    expect(await start()).toMatchObject({ code: 0, stderr: '' });
    expect(callsMade()).toEqual([expect.stringMatching(/^ci packages --ignore-scripts .*--omit=dev$/)]);
    expect(readdirSync(join(tree, '.node'))).toEqual(['lock']);
  });

  test('fetches Node where the system has an older one, and keeps it', async () => {
    using dir = tempDir('launcher');
    const { start, callsMade } = checkout(dir, { oldNode: true });
    const first = await start();
    expect(first.stderr.split('\n')).toHaveLength(3);
    expect(said(first).node).toBe(process.version);
    expect(await start()).toMatchObject({ code: 0, stderr: '' });
    expect(callsMade().map((call) => call.split(' ')[1])).toEqual(['node', 'packages']);
  });

  test('works from any folder and through links, relative and chained', async () => {
    using dir = tempDir('launcher');
    const { tree, start } = checkout(dir);
    mkdirSync(dir.join('links'));
    symlinkSync('../a checkout/keyturn', dir.join('links', 'one'));
    symlinkSync('one', dir.join('links', 'two'));
    expect(said(await start([], { cwd: '/', via: dir.join('links', 'two') })).cwd).toBe('/');
    expect(said(await start(['x'], { cwd: dir.join('links'), via: './two' })).args).toEqual(['x']);
    expect(said(await start([], { cwd: join(tree, 'src'), via: '../keyturn' })).cwd).toBe(join(tree, 'src'));
  });

  test('first starts at the same time set up once', async () => {
    using dir = tempDir('launcher');
    const { start, callsMade } = checkout(dir, { oldNode: true });
    const all = await Promise.all(Array.from({ length: 5 }, (_, n) => start([String(n)])));
    expect(all.map((finished) => said(finished).args[0])).toEqual(['0', '1', '2', '3', '4']);
    expect(callsMade()).toHaveLength(2);
  });

  test('goes on after a set-up that was killed half-way', async () => {
    using dir = tempDir('launcher');
    const { tree, start, callsMade } = checkout(dir, { npm: 'dies' });
    expect((await start()).code).not.toBe(0);
    expect(existsSync(join(tree, 'node_modules'))).toBe(false);
    expect(await start()).toMatchObject({ code: 0 });
    expect(callsMade()).toHaveLength(2);
    expect(readdirSync(join(tree, '.node')).filter((name) => name.startsWith('stage'))).toEqual([]);
  });

  test('takes packages that were installed by hand as they are', async () => {
    using dir = tempDir('launcher');
    const { tree, start, callsMade } = checkout(dir);
    installByHand(tree);
    expect(await start()).toMatchObject({ code: 0, stderr: '' });
    expect(callsMade()).toEqual([]);
  });

  test('installs again when the lock file has changed, and leaves what is there where that fails', async () => {
    using dir = tempDir('launcher');
    const { tree, start, callsMade } = checkout(dir);
    installByHand(tree);
    const lock = join(tree, 'package-lock.json');
    writeFileSync(
      lock,
      readFileSync(lock, 'utf8').replace(/("node_modules\/kysely": \{\s*"version": ")[^"]+/, '$199.0.0'),
    );
    const finished = await start();
    expect(finished).toMatchObject({ code: 3, stdout: '' });
    expect(finished.stderr).toContain('node_modules/kysely: 99.0.0 is wanted');
    expect(callsMade()).toHaveLength(1);
    expect(existsSync(join(tree, 'node_modules/kysely'))).toBe(true);
  });

  test('says what to do when npm is missing', async () => {
    using dir = tempDir('launcher');
    const { start } = checkout(dir, { npm: 'absent' });
    expect(await start()).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('npm is needed') });
  });

  test('says what to do when the registry cannot be reached, and npm’s own noise stays in the log', async () => {
    using dir = tempDir('launcher');
    const { tree, start } = checkout(dir, { npm: 'offline' });
    const finished = await start();
    expect(finished).toMatchObject({ code: 3, stdout: '' });
    expect(finished.stderr).toContain('https://registry.example.test/) cannot be reached');
    expect(finished.stderr).not.toContain('nodedir');
    expect(existsSync(join(tree, 'node_modules'))).toBe(false);
  });
});
