import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const self = 'project/tidy.test.ts';

/** Everything that belongs to the project, as git sees it; all files where there is no git (a tarball). */
function projectFiles(): string[] {
  let names: string[];
  try {
    names = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root })
      .toString()
      .split('\0');
  } catch {
    names = globSync('**/*', { cwd: root, exclude: ['node_modules', 'dist', '.node', '.keyturn', 'coverage'] });
  }
  return names.filter(
    (name) => name !== '' && !name.endsWith(self) && !name.endsWith('package-lock.json') && isText(name),
  );
}

function isText(name: string): boolean {
  const stat = statSync(join(root, name), { throwIfNoEntry: false });
  return stat?.isFile() === true && !/\.(png|jpg|gif|woff2?)$/.test(name);
}

interface Rule {
  readonly what: string;
  readonly pattern: RegExp;
  readonly only?: RegExp;
}

const rules: readonly Rule[] = [
  { what: 'unfinished work', pattern: /\b(TODO|FIXME|HACK|XXX)\b|not (yet )?implemented|coming soon/i },
  {
    what: 'tests switched off or alone',
    pattern: /\b(test|it|describe)\.(only|skip|todo|fails)\(/,
    only: /\.test\.ts$/,
  },
  { what: 'paths of one machine', pattern: /(^|[\s"'`(=:])\/(work|root|home\/(?!\$|<|[A-Z]))[\w.-]*\// },
  { what: 'focus on a debugger', pattern: /^\s*debugger;/m, only: /\.ts$/ },
  { what: 'merge conflicts', pattern: /^(<{7} |>{7} )/m },
];

/** A whole private key in text form, as a person would paste it. */
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\\nr"'`+]*[A-Za-z0-9+/]{40}/;

describe('the tree is tidy', () => {
  const files = projectFiles().map((name) => ({ name, text: readFileSync(join(root, name), 'utf8') }));

  test('the files were found', () => {
    expect(files.map((file) => file.name)).toEqual(expect.arrayContaining(['package.json', 'keyturn', 'README.md']));
  });

  test.each(rules)('no $what', ({ pattern, only }) => {
    const guilty = files.filter(({ name, text }) => (only?.test(name) ?? true) && pattern.test(text));
    expect(guilty.map(({ name, text }) => `${name}: ${pattern.exec(text)?.[0].trim()}`)).toEqual([]);
  });

  test('private keys stand in tests only, and only those that an RFC has published', () => {
    const guilty = files.filter(
      ({ name, text }) =>
        privateKey.test(text) &&
        !(/(\.test\.ts$|^tests?\/.*(rfc|vectors|fixtures))/.test(name) && /\bRFC\b/.test(text)),
    );
    expect(guilty.map(({ name }) => name)).toEqual([]);
  });

  test('links between documents lead somewhere', () => {
    const dead = files
      .filter(({ name }) => name.endsWith('.md'))
      .flatMap(({ name, text }) =>
        [...text.matchAll(/\]\((?![a-z]+:|#)([^)#\s]+)/g)]
          .map((match) => join(dirname(name), match[1] ?? ''))
          .filter((target) => !existsSync(join(root, target)))
          .map((target) => `${name}: ${target}`),
      );
    expect(dead).toEqual([]);
  });

  test('every program that tests ask for comes with a package that CI installs', () => {
    const installed = files.find(({ name }) => name === 'scripts/test/debian-packages')?.text.split('\n') ?? [];
    const asked = files
      .filter(({ name }) => name.endsWith('.ts'))
      .flatMap(({ text }) => [...text.matchAll(/\bneed\('[^']+', '([^']+)'\)/g)].map((match) => match[1] ?? ''));
    expect(asked.length).toBeGreaterThan(10);
    expect([...new Set(asked)].filter((name) => !installed.includes(name))).toEqual([]);
  });

  test('the rules find what they forbid', () => {
    const samples: Readonly<Record<string, string>> = {
      'unfinished work': '// TODO later',
      'tests switched off or alone': "test.only('x', () => {})",
      'paths of one machine': "const file = '/home/me/keys/a.pem'",
      'focus on a debugger': '  debugger;',
      'merge conflicts': '<<<<<<< HEAD',
    };
    for (const { what, pattern } of rules) expect(pattern.test(samples[what] ?? ''), what).toBe(true);
    expect(privateKey.test(`-----BEGIN RSA PRIVATE KEY-----\n${'A'.repeat(64)}`)).toBe(true);
  });
});
