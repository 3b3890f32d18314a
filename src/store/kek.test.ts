import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { tempDir } from '../../tests/support/temp.ts';
import { loadKeks } from './kek.ts';

const base64 = (octet: number) => Buffer.alloc(32, octet).toString('base64');
const badKek = expect.objectContaining({ name: 'StoreError', code: 'bad-kek' });

test('the key file is made on first use, for its owner alone, and read ever after', () => {
  using dir = tempDir('kek');
  const file = dir.join('new-folder', 'kek');
  const made = loadKeks({ file });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(dir.join('new-folder')).mode & 0o777).toBe(0o700);
  expect(loadKeks({ file }).current.key.equals(made.current.key)).toBe(true);
  expect(readFileSync(file, 'utf8')).toContain(made.current.key.export().toString('base64'));
});

test('a file that others can read is refused, with the command that puts it right', () => {
  using dir = tempDir('kek');
  const file = dir.join('kek');
  loadKeks({ file });
  for (const mode of [0o640, 0o604, 0o660]) {
    chmodSync(file, mode);
    expect(() => loadKeks({ file })).toThrow(
      expect.objectContaining({ code: 'bad-kek', message: expect.stringContaining(`chmod 600 ${file}`) }),
    );
  }
});

test('the environment goes before the file, old keys beside it', () => {
  using dir = tempDir('kek');
  const file = dir.join('kek');
  const keks = loadKeks({
    file,
    environment: { KEYTURN_KEK: base64(1), KEYTURN_KEK_OLD: `${base64(2)},${base64(3)}` },
  });
  expect([keks.current, ...keks.old].map((k) => k.key.export()[0])).toStrictEqual([1, 2, 3]);
  expect(() => statSync(file)).toThrow();
});

test('further lines of the file are old keys', () => {
  using dir = tempDir('kek');
  const file = dir.join('kek');
  writeFileSync(file, `# new\n${base64(7)}\n\n# of last year\n${base64(6)}\n`, { mode: 0o600 });
  const keks = loadKeks({ file });
  expect([keks.current, ...keks.old].map((k) => k.key.export()[0])).toStrictEqual([7, 6]);
});

test.each([
  ['too short', Buffer.alloc(31).toString('base64')],
  ['not base64', `${base64(1).slice(0, -2)}!!`],
  ['a passphrase', 'correct horse battery staple'],
])('a key that is %s is refused, and never quoted', (_, text) => {
  using dir = tempDir('kek');
  const load = () => loadKeks({ file: dir.join('kek'), environment: { KEYTURN_KEK: text } });
  expect(load).toThrow(badKek);
  expect(load).not.toThrow(text);
  writeFileSync(dir.join('kek'), `${text}\n`, { mode: 0o600 });
  expect(() => loadKeks({ file: dir.join('kek') })).toThrow(badKek);
});

test('an empty key file is not taken for a first use', () => {
  using dir = tempDir('kek');
  writeFileSync(dir.join('kek'), '', { mode: 0o600 });
  expect(() => loadKeks({ file: dir.join('kek') })).toThrow(badKek);
});

test('a key file that is gone while the store is there is not made anew', () => {
  using dir = tempDir('kek');
  const file = dir.join('kek');
  expect(() => loadKeks({ file, mayMake: false })).toThrow(badKek);
  expect(() => statSync(file)).toThrow();
  const made = loadKeks({ file });
  expect(loadKeks({ file, mayMake: false }).current.key.equals(made.current.key)).toBe(true);
});
