import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { tempDir } from '../../../tests/support/temp.ts';
import { loadKeyringKeys } from './keyring-key.ts';

const base64 = (octet: number) => Buffer.alloc(32, octet).toString('base64');
const badKey = expect.objectContaining({ name: 'StoreError', code: 'bad-kek' });

test('a control plane makes the key at its first start; a follower never does', () => {
  using dir = tempDir('keyring-key');
  const file = dir.join('data/keyrings.key');
  expect(() => loadKeyringKeys({ file, mayMake: false })).toThrow(/Copy keyrings.key/);
  const made = loadKeyringKeys({ file, mayMake: true });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(loadKeyringKeys({ file, mayMake: false }).current.id).toBe(made.current.id);
  expect(readFileSync(file, 'utf8')).toContain(made.current.key.export().toString('base64'));
});

test('further lines only open, the environment goes first', () => {
  using dir = tempDir('keyring-key');
  const file = dir.join('keyrings.key');
  writeFileSync(file, `# new\n${base64(2)}\n${base64(1)}\n`, { mode: 0o600 });
  const keks = loadKeyringKeys({ file, mayMake: true });
  expect([keks.current, ...keks.old].map(({ key }) => key.export()[0])).toEqual([2, 1]);
  const environment = { KEYTURN_KEYRINGS_KEY: `${base64(4)},${base64(3)}` };
  const given = loadKeyringKeys({ file, mayMake: true, environment });
  expect([given.current, ...given.old].map(({ key }) => key.export()[0])).toEqual([4, 3]);
});

test.each([
  ['too short', Buffer.alloc(31).toString('base64')],
  ['not base64', `${base64(1).slice(0, -2)}!!`],
  ['nothing', ''],
])('a key that is %s is refused, and never quoted', (_, text) => {
  using dir = tempDir('keyring-key');
  const file = dir.join('keyrings.key');
  writeFileSync(file, `${text}\n`, { mode: 0o600 });
  const load = () => loadKeyringKeys({ file, mayMake: true });
  expect(load).toThrow(badKey);
  if (text !== '') expect(load).not.toThrow(text);
});

test('a file that others can read is refused', () => {
  using dir = tempDir('keyring-key');
  const file = dir.join('keyrings.key');
  writeFileSync(file, `${base64(1)}\n`);
  chmodSync(file, 0o644);
  expect(() => loadKeyringKeys({ file, mayMake: true })).toThrow(/chmod 600/);
});
