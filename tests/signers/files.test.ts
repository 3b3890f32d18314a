import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { exportPrivateKeyPem } from '../../src/dkim/key-pair.ts';
import { fingerprintOfContent } from '../../src/signers/files/keys.ts';
import { filesKind } from '../../src/signers/files/kind.ts';
import type { Signer } from '../../src/signers/signer.ts';
import { spawnServer } from '../support/processes.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { filesSettings } from './files-settings.ts';
import { dependenciesIn, keyringOf, makeKey, other } from './keyrings.ts';

const make = (dir: TempDir, more: Readonly<Record<string, unknown>> = {}): Promise<Signer> =>
  filesKind.create(filesSettings(dir.path, more), dependenciesIn(dir));

const rows = (path: string): string[] =>
  existsSync(path)
    ? readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
    : [];

/** Each line that signs names a key whose file is there and holds that key: what a program finds that reads the tables now. */
function checkTables(dir: TempDir): Map<string, string[]> {
  const known = new Map(rows(dir.join('tables', 'known')).map((row) => [row.split(' ')[0], row.split(' ')[1] ?? '']));
  const signing = new Map<string, string[]>();
  for (const row of rows(dir.join('tables', 'signing'))) {
    const [pattern = '', id = ''] = row.split(' ');
    const [domain = '', selector = '', file = ''] = known.get(id)?.split(':') ?? [];
    expect(domain, `${id} is named and not known`).toBe(pattern.slice(2));
    expect(fingerprintOfContent(readFileSync(file)), file).toBe(id.split('.')[0]);
    signing.set(domain, [...(signing.get(domain) ?? []), selector]);
  }
  return signing;
}

function filesBelow(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
}

/** Root may write everywhere: these tests give that up for a while. */
async function withoutRights<T>(task: () => Promise<T>): Promise<T> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    return await task();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

describe('files for any program', () => {
  test('killed at any moment: every table names files that are there, and the next start goes on', async () => {
    using dir = tempDir('files-kill');
    for (const folder of ['state', 'tables']) mkdirSync(dir.join(folder));
    const keys = await Promise.all([0, 1, 2, 3].map((n) => makeKey(`s${n}`)));
    writeFileSync(dir.join('keys.json'), JSON.stringify(keys.map(({ privateKey }) => exportPrivateKeyPem(privateKey))));
    writeFileSync(dir.join('tables', 'signing'), '# By hand.\n*@other.test theirs\n');
    writeFileSync(dir.join('tables', 'known'), 'theirs other.test:t:/etc/theirs.pem\n');
    const script = fileURLToPath(new URL('files-writer.ts', import.meta.url));
    let generation = 1;
    for (let turn = 0; turn < 4; turn++) {
      const writer = await spawnServer({
        name: 'the writer',
        command: process.execPath,
        args: ['--disable-warning=ExperimentalWarning', script, dir.path, String(generation)],
        env: { NODE_OPTIONS: '' },
        ready: (output) => output().includes('\n'),
      });
      // A different moment each time, of a turn that takes some thirty milliseconds.
      await sleep(turn * 17);
      writer.kill('SIGKILL');
      await writer.exited;
      const written = writer.output().trim().split('\n').map(Number);
      expect(written.every(Number.isInteger), writer.output()).toBe(true);
      const mine = rows(dir.join('tables', 'signing')).filter((row) => !row.includes('other.test'));
      expect(mine).toHaveLength(6);
      const theirs = readFileSync(dir.join('tables', 'signing'), 'utf8');
      expect(theirs).toContain('# By hand.\n*@other.test theirs\n');
      const rowsOfTheirs = rows(dir.join('tables', 'known')).filter((row) => row.startsWith('theirs'));
      expect(rowsOfTheirs).toEqual(['theirs other.test:t:/etc/theirs.pem']);
      checkMine(dir);
      generation = Math.max(...written) + 1;
    }
    // What crashes left behind is gone after a start and a look.
    const signer = await make(dir);
    const [a, b] = [keys[0], keys[1]];
    if (a === undefined || b === undefined) throw new Error('there are four keys');
    for (const domain of ['a.test', 'b.test', 'c.test']) {
      const keyring = keyringOf(domain, generation + 1, [a, b]);
      expect(await signer.deliver(keyring)).toEqual({ kind: 'acknowledged', generation: generation + 1 });
      expect(await signer.inspect?.(keyring)).toEqual({ kind: 'as-delivered' });
    }
    expect(filesBelow(dir.join('keys'))).toHaveLength(6);
    expect(filesBelow(dir.path).filter((name) => name.includes('keyturn-new'))).toEqual([]);
  });

  test.each(['keys', 'tables'])(
    'a folder "%s" that is read-only: a failure in words, nothing half done',
    async (which) => {
      using dir = tempDir('files-readonly');
      chmodSync(dir.path, 0o777);
      const dependencies = dependenciesIn(dir);
      chmodSync(dependencies.folder, 0o777);
      const [s1, s2] = await Promise.all([makeKey('s1'), makeKey('s2')]);
      await withoutRights(async () => {
        const signer = await filesKind.create(filesSettings(dir.path), dependencies);
        expect(await signer.deliver(keyringOf('a.test', 1, [s1]))).toMatchObject({ kind: 'acknowledged' });
        const folder = which === 'keys' ? dir.join('keys', 'a.test') : dir.join('tables');
        chmodSync(folder, 0o555);
        const failed = await signer.deliver(keyringOf('a.test', 2, [s2]));
        expect(failed).toMatchObject({
          kind: 'failed',
          message: expect.stringMatching(new RegExp(`${which}.*may not`)),
        });
        expect(JSON.stringify(failed)).not.toContain('PRIVATE');
        expect(checkTables(dir).get('a.test')).toEqual(['s1']);
        expect(await signer.deliver(keyringOf('a.test', 1, [s1]))).toMatchObject({ kind: 'pending' });
        chmodSync(folder, 0o755);
        expect(await signer.deliver(keyringOf('a.test', 2, [s2]))).toEqual({ kind: 'acknowledged', generation: 2 });
        expect(checkTables(dir).get('a.test')).toEqual(['s2']);
      });
    },
  );

  test('one domain’s trouble is not the others’', async () => {
    using dir = tempDir('files-trouble');
    mkdirSync(dir.join('keys'));
    // Where its folder should be lies a file.
    writeFileSync(dir.join('keys', 'bad.test'), '');
    const signer = await make(dir);
    const s1 = await makeKey('s1');
    const names = ['a.test', 'bad.test', 'c.test'];
    const answers = await Promise.all(names.map((domain) => signer.deliver(keyringOf(domain, 1, [s1]))));
    expect(answers.map(({ kind }) => kind)).toEqual(['acknowledged', 'failed', 'acknowledged']);
    expect([...checkTables(dir).keys()].sort()).toEqual(['a.test', 'c.test']);
  });

  test('modes are as set, and nobody may read a key in between', async () => {
    using dir = tempDir('files-mode');
    const signer = await make(dir, { mode: '600' });
    await signer.deliver(keyringOf('a.test', 1, [await makeKey('s1')]));
    const [name = ''] = readdirSync(dir.join('keys', 'a.test'));
    expect(statSync(dir.join('keys', 'a.test', name)).mode & 0o777).toBe(0o600);
    expect(statSync(dir.join('keys', 'a.test')).mode & 0o777).toBe(0o700);
    await expect(make(dir, { group: 'no-such-group' })).rejects.toThrow('there is no group "no-such-group"');
  });

  test('a table that was there keeps its mode, its owner, and what somebody writes into it', async () => {
    using dir = tempDir('files-table-mode');
    mkdirSync(dir.join('tables'));
    const table = dir.join('tables', 'signing');
    writeFileSync(table, '*@by.hand theirs\n', { mode: 0o644 });
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) chownSync(table, 1234, 2345);
    const signer = await make(dir);
    const s1 = await makeKey('s1');
    await signer.deliver(keyringOf('a.test', 1, [s1]));
    writeFileSync(table, `# more\n${readFileSync(table, 'utf8')}*@more.test theirs\n`);
    await signer.deliver(keyringOf('b.test', 1, [s1]));
    const { mode, uid, gid } = statSync(table);
    expect(mode & 0o777).toBe(0o644);
    if (isRoot) expect([uid, gid]).toEqual([1234, 2345]);
    expect(rows(table).map((row) => row.split(' ')[0])).toEqual(['*@by.hand', '*@a.test', '*@b.test', '*@more.test']);
    expect(readFileSync(table, 'utf8')).toContain('# more\n');
  });

  test.each([
    ['pkcs8', '-----BEGIN PRIVATE KEY-----'],
    ['pkcs1', '-----BEGIN RSA PRIVATE KEY-----'],
    ['der', '0'],
    ['seed', '-----BEGIN PRIVATE KEY-----'],
  ])('writes keys as %s', async (format, beginning) => {
    using dir = tempDir('files-format');
    const signer = await make(dir, { format, algorithms: ['rsa'] });
    const keyring = keyringOf('a.test', 1, [await makeKey('s1')]);
    await signer.deliver(keyring);
    const [name = ''] = readdirSync(dir.join('keys', 'a.test'));
    expect(readFileSync(dir.join('keys', 'a.test', name), 'latin1').startsWith(beginning)).toBe(true);
    expect(await signer.inspect?.(keyring)).toEqual({ kind: 'as-delivered' });
  });

  test('an Ed25519 seed can be read back', async () => {
    using dir = tempDir('files-seed');
    const signer = await make(dir, { format: 'seed' });
    const keyring = keyringOf('a.test', 1, [await makeKey('e1', 'ed25519')]);
    await signer.deliver(keyring);
    const [name = ''] = readdirSync(dir.join('keys', 'a.test'));
    expect(readFileSync(dir.join('keys', 'a.test', name), 'utf8')).toMatch(/^[A-Za-z0-9+/]{43}=\n$/);
    expect(await signer.inspect?.(keyring)).toEqual({ kind: 'as-delivered' });
  });

  test('a path without a fingerprint: the new key takes the place of the old, somebody else’s is left alone', async () => {
    using dir = tempDir('files-fixed');
    const more = { path: dir.join('keys', '{domain}', 'private'), tables: [], atMost: 1 };
    const signer = await make(dir, more);
    const [s1, s2] = await Promise.all([makeKey('s1'), makeKey('s2')]);
    await signer.deliver(keyringOf('a.test', 1, [s1]));
    const retiring = keyringOf('a.test', 2, [s2], { others: [other(s1, 'retiring')] });
    expect(await signer.deliver(retiring)).toEqual({ kind: 'acknowledged', generation: 2 });
    expect(await signer.inspect?.(retiring)).toEqual({ kind: 'as-delivered' });
    expect(await signer.inspect?.(keyringOf('a.test', 2, [s2], { others: [other(s1, 'removed')] }))).toEqual({
      kind: 'as-delivered',
    });
    expect(readFileSync(dir.join('keys', 'a.test', 'private'), 'utf8')).toBe(exportPrivateKeyPem(s2.privateKey));
    mkdirSync(dir.join('keys', 'b.test'));
    writeFileSync(dir.join('keys', 'b.test', 'private'), exportPrivateKeyPem(s1.privateKey));
    expect(await signer.deliver(keyringOf('b.test', 1, [s2]))).toMatchObject({ kind: 'drifted' });
    expect(readFileSync(dir.join('keys', 'b.test', 'private'), 'utf8')).toBe(exportPrivateKeyPem(s1.privateKey));
    await expect(make(dir, { ...more, atMost: 2 })).rejects.toThrow('has room for one key');
  });

  test('a table that is Keyturn’s as a whole, with lists and streams in it', async () => {
    using dir = tempDir('files-lists');
    const table = { path: dir.join('list'), comment: 'none', domain: '{domain}/{stream} = {selectors}', join: ', ' };
    const signer = await make(dir, { tables: [table] });
    const [s1, s2, s3] = await Promise.all(['s1', 's2', 's3'].map((selector) => makeKey(selector)));
    if (s1 === undefined || s2 === undefined || s3 === undefined) throw new Error('there are three keys');
    await signer.deliver(keyringOf('a.test', 1, { default: [s1, s2], news: [s3] }));
    expect(readFileSync(table.path, 'utf8')).toBe('a.test/default = s1, s2\na.test/news = s3\n');
    await signer.deliver(keyringOf('a.test', 2, { default: [s2], news: [s3] }));
    expect(readFileSync(table.path, 'utf8')).toBe('a.test/default = s2\na.test/news = s3\n');
  });

  test('neither a reload command nor a test command finds a secret in its environment', async () => {
    using dir = tempDir('files-environment');
    const dump = (name: string) => ['/bin/sh', '-c', `env > ${dir.join(name)}; cat > /dev/null`];
    process.env.KEYTURN_KEK = 'a-secret-of-ours';
    try {
      const signer = await make(dir, {
        reload: { command: dump('reload.env') },
        test: { command: dump('test.env'), timeout: '500ms' },
      });
      await signer.deliver(keyringOf('a.test', 1, [await makeKey('s1')]));
      await signer.close?.();
    } finally {
      delete process.env.KEYTURN_KEK;
    }
    for (const name of ['reload.env', 'test.env']) {
      const environment = readFileSync(dir.join(name), 'utf8');
      expect(environment).toContain('PATH=');
      expect(environment).not.toContain('a-secret-of-ours');
    }
  });

  test('a reload command that fails is a failure; a test command is asked what it signs', async () => {
    using dir = tempDir('files-reload');
    const s1 = await makeKey('s1');
    const failing = await make(dir, { reload: { command: ['/bin/sh', '-c', 'echo no such service >&2; exit 5'] } });
    const failed = await failing.deliver(keyringOf('a.test', 1, [s1]));
    expect(failed).toMatchObject({ kind: 'failed', message: expect.stringMatching(/no such service/) });
    await failing.close?.();
    // It gives the message back as it was: unsigned.
    const unsigned = await make(dir, { test: { command: ['/bin/cat'], timeout: '200ms' } });
    const delivery = await unsigned.deliver(keyringOf('a.test', 1, [s1]));
    expect(delivery).toMatchObject({ kind: 'pending', message: expect.stringContaining('does not sign with s1') });
    await unsigned.close?.();
    // A restart that is asked for every few milliseconds would never come to its end.
    const command = ['/bin/sh', '-c', `echo >>${dir.join('restarts')}`];
    const restarting = await make(dir, { reload: { command }, test: { command: ['/bin/cat'], timeout: '600ms' } });
    await restarting.deliver(keyringOf('a.test', 1, [s1]));
    expect(readFileSync(dir.join('restarts'), 'utf8')).toBe('\n\n');
  });

  test('a state file whose end a crash tore is read to there', async () => {
    using dir = tempDir('files-torn');
    const [s1, s2] = await Promise.all([makeKey('s1'), makeKey('s2')]);
    let signer = await make(dir);
    await signer.deliver(keyringOf('a.test', 3, [s1]));
    await signer.close?.();
    const state = dir.join('state', 'state.jsonl');
    writeFileSync(state, `${readFileSync(state, 'utf8')}{"domain":"a.test","asked":9,"loa`);
    signer = await make(dir);
    expect(await signer.deliver(keyringOf('a.test', 2, [s2]))).toEqual({ kind: 'acknowledged', generation: 3 });
    expect(await signer.deliver(keyringOf('a.test', 4, [s2]))).toEqual({ kind: 'acknowledged', generation: 4 });
    await signer.close?.();
    signer = await make(dir);
    expect(await signer.deliver(keyringOf('a.test', 3, [s1]))).toEqual({ kind: 'acknowledged', generation: 4 });
  });

  /** As {@link checkTables}, for the lines that are ours. */
  function checkMine(dir: TempDir): void {
    const known = new Map(rows(dir.join('tables', 'known')).map((row) => [row.split(' ')[0], row.split(' ')[1] ?? '']));
    for (const row of rows(dir.join('tables', 'signing'))) {
      const [, id = ''] = row.split(' ');
      if (id === 'theirs') continue;
      const [, , file = ''] = known.get(id)?.split(':') ?? [];
      expect(fingerprintOfContent(readFileSync(file)), file).toBe(id.split('.')[0]);
    }
  }
});
