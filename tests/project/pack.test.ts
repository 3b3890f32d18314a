import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, runOk } from '../support/processes.ts';
import { type TempDir, tempDir } from '../support/temp.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

/** npm, told to ask nobody. */
const npm = (args: readonly string[], cwd: string): Promise<string> =>
  runOk(
    'npm',
    [...args, '--offline', '--no-audit', '--no-fund', '--no-update-notifier', '--logs-max=0', '--loglevel=error'],
    {
      cwd,
      within: 120_000,
    },
  );

describe('the package', () => {
  let dir: TempDir;
  let packed: { filename: string; files: { path: string; size: number }[]; size: number };
  let keyturn: string;

  beforeAll(async () => {
    dir = tempDir('pack');
    const tree = dir.join('tree');
    mkdirSync(tree);
    const manifest = read(join(root, 'package.json'));
    for (const name of [...manifest.files, 'src', 'package.json', 'tsconfig.json', 'tsconfig.build.json']) {
      if (name !== 'dist') cpSync(join(root, name), join(tree, name), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
    packed = JSON.parse((await npm(['pack', '--json'], tree)).replace(/^[^[]*/s, ''))[0];

    // Installing fetches dependencies from the registry. Here they are put into the package, from this checkout: what
    // npm installs is the packed files, and nothing outside of the machine is asked.
    await runOk('tar', ['-xzf', join(tree, packed.filename), '-C', dir.path]);
    const unpacked = dir.join('package');
    for (const path of productionPackages()) {
      mkdirSync(dirname(join(unpacked, path)), { recursive: true });
      cpSync(join(root, path), join(unpacked, path), {
        recursive: true,
        filter: (source) => isNeeded(source.slice(join(root, path).length)),
      });
    }
    writeFileSync(
      join(unpacked, 'package.json'),
      JSON.stringify({ ...manifest, scripts: {}, bundleDependencies: Object.keys(manifest.dependencies) }),
    );
    const tarball = dir.join('keyturn.tar');
    await runOk('tar', ['-cf', tarball, '-C', dir.path, 'package']);
    await npm(['install', '--global', '--ignore-scripts', '--prefix', dir.join('prefix'), tarball], dir.path);
    keyturn = dir.join('prefix/bin/keyturn');
  }, 180_000);

  afterAll(() => dir.remove());

  test('holds the built program and its papers, and neither sources nor tests', () => {
    const paths = packed.files.map((file) => file.path);
    expect(paths).toEqual(
      expect.arrayContaining(['dist/cli/main.js', 'LICENSE', 'README.md', 'CHANGELOG.md', 'docs/architecture.md']),
    );
    expect(paths.filter((path) => /\.test\.|\.ts$|^(src|test|tests|scripts|node_modules)\//.test(path))).toEqual([]);
    expect(packed.size).toBeLessThan(2_000_000);
  });

  test('gives a `keyturn` command that knows its version and its commands', async () => {
    expect(existsSync(keyturn)).toBe(true);
    const version = await runOk(keyturn, ['--version'], { cwd: dir.path });
    expect(version.trim()).toBe(read(join(root, 'package.json')).version);
    const help = await runOk(keyturn, ['--help'], { cwd: dir.path });
    for (const command of ['serve', 'domain', 'key', 'check', 'milter', 'demo']) expect(help).toContain(command);
  });

  test('every command of the installed program loads', async () => {
    const help = await runOk(keyturn, ['--help'], { cwd: dir.path });
    const commands = [...help.matchAll(/^ {2}([a-z]+)\b/gm)].flatMap((match) => match[1] ?? []);
    expect(commands.length).toBeGreaterThan(8);
    for (const command of new Set(commands)) {
      const { code, stderr } = await run(keyturn, [command, '--help'], { cwd: dir.path });
      expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: '' });
    }
  });

  test('the installed program reaches its store, native part included', async () => {
    const env = { KEYTURN_DATA_DIR: undefined, HOME: dir.path };
    const data = dir.join('work');
    mkdirSync(data);
    const { code, stdout, stderr } = await run(keyturn, ['domain', 'list', '--json'], { cwd: data, env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(() => JSON.parse(stdout)).not.toThrow();
  });
});

/** Leaves out what is never run: thousands of files, which npm would copy more than once. */
function isNeeded(inside: string): boolean {
  return !/\/node_modules|\/(deps|docs|test)(\/|$)|\.(map|md|ts|mts|cts)$/.test(inside);
}

/** Paths in node_modules of what the program needs to run. */
function productionPackages(): string[] {
  const lock: Record<string, { dev?: boolean; optional?: boolean }> = read(join(root, 'package-lock.json')).packages;
  return Object.entries(lock)
    .filter(([path, entry]) => path !== '' && entry.dev !== true && existsSync(join(root, path)))
    .map(([path]) => path);
}
