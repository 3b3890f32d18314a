/**
 * The house's layers, checked: imports only point downward, and the pure rooms import nothing that does I/O.
 * `node scripts/layers.ts` lists violations; the tests use the functions.
 */
import { globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** From the bottom up. Rooms of one layer do not import one another. */
const layers: readonly (readonly string[])[] = [
  ['settings', 'dkim'],
  ['lifecycle'],
  ['store', 'signers', 'dns'],
  ['control', 'watch'],
  ['cli', 'api'],
];

/** Rooms that must run anywhere and always answer the same: what they may import of Node. */
const pure: Readonly<Record<string, readonly string[]>> = { dkim: ['node:crypto'], lifecycle: ['node:crypto'] };

/** Programs for people that lie in a pure room. */
const programs = new Set(['src/lifecycle/simulate/main.ts']);

export interface Violation {
  readonly file: string;
  readonly imported: string;
  readonly why: string;
}

/** Module specifiers that a source imports or re-exports, statically or by `import('…')`, types included. */
export function importsOf(source: string): string[] {
  const statics = /^[ \t]*(?:import|export)\b(?:[^'"`;]*?\bfrom)?\s*(['"])([^'"\n]+)\1/gm;
  const dynamics = /\bimport\(\s*(['"`])([^'"`\n]+)\1/g;
  return [...source.matchAll(statics), ...source.matchAll(dynamics)].flatMap((match) => match[2] ?? []);
}

/**
 * Checks one file of `src/`.
 * @param file its path from the checkout, with slashes
 * @param packages names that package.json lists as dependencies
 */
export function violationsOf(file: string, source: string, packages: ReadonlySet<string>): Violation[] {
  // Tests may look anywhere; the layers are about what runs.
  if (file.endsWith('.test.ts')) return [];
  const room = roomOf(file);
  if (room === null) return [{ file, imported: '', why: 'lies in no room of the house' }];
  return importsOf(source).flatMap((imported) => {
    const why = imported.startsWith('.')
      ? whyNotFile(file, room, imported)
      : whyNotPackage(file, room, imported, packages);
    return why === null ? [] : [{ file, imported, why }];
  });
}

function whyNotFile(file: string, room: string, imported: string): string | null {
  if (!/\.(ts|js|json)$/.test(imported)) return 'a relative import names its file with the extension';
  const target = normalize(join(dirname(file), imported)).replaceAll('\\', '/');
  if (target === 'package.json') return null;
  const other = roomOf(target);
  if (other === null) return 'nothing outside of src/ is there when the package is installed';
  if (target.endsWith('.test.ts')) return 'tests are not part of the program';
  if (other === room) return null;
  const from = layerOf(room);
  const to = layerOf(other);
  if (to < from) return null;
  return to === from ? `${room} and ${other} lie side by side` : `${other} lies above ${room}`;
}

function whyNotPackage(file: string, room: string, imported: string, packages: ReadonlySet<string>): string | null {
  const isNode = imported.startsWith('node:') || builtinModules.includes(imported);
  const allowed = pure[room];
  if (allowed !== undefined && !programs.has(file) && !allowed.includes(imported)) {
    return `${room} is pure: it imports ${allowed.join(', ')} and nothing else from outside`;
  }
  if (isNode) return imported.startsWith('node:') ? null : `Node's own modules are named node:${imported}`;
  const name = imported.split('/', imported.startsWith('@') ? 2 : 1).join('/');
  return packages.has(name) ? null : `${name} is not among the dependencies in package.json`;
}

function roomOf(file: string): string | null {
  const room = /^src\/([^/]+)\/./.exec(file)?.[1] ?? '';
  return layerOf(room) < 0 ? null : room;
}

function layerOf(room: string): number {
  return layers.findIndex((rooms) => rooms.includes(room));
}

/** Checks every source of a checkout. */
export function checkLayers(root: string): { readonly files: number; readonly violations: readonly Violation[] } {
  const manifest: { dependencies?: Record<string, string> } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  );
  const packages = new Set(Object.keys(manifest.dependencies ?? {}));
  const files = globSync('src/**/*.ts', { cwd: root }).map((file) => file.replaceAll('\\', '/'));
  const violations = files.flatMap((file) => violationsOf(file, readFileSync(join(root, file), 'utf8'), packages));
  return { files: files.length, violations };
}

if (import.meta.main) {
  const { files, violations } = checkLayers(resolve(fileURLToPath(import.meta.url), '../..'));
  for (const { file, imported, why } of violations) console.error(`${file}: ${imported}: ${why}`);
  console.log(`${files} files, ${violations.length} violations`);
  process.exitCode = violations.length > 0 ? 1 : 0;
}
