import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exportPrivateKeyPem } from '../../src/dkim/key-pair.ts';
import { checkMilter } from '../../src/signers/milter/check.ts';
import { opendkimKind } from '../../src/signers/opendkim/kind.ts';
import type { Delivery, Signer } from '../../src/signers/signer.ts';
import { need } from '../support/need.ts';
import type { RunningServer } from '../support/processes.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { dependenciesIn, keyringOf, makeKey, other, type TestDependencies, type TestKey } from './keyrings.ts';
import { type OpenDkimFolder, openDkimFolder } from './opendkim-process.ts';

describe.skipIf(!need('opendkim', 'opendkim'))('OpenDKIM', () => {
  let dir: TempDir;
  let folder: OpenDkimFolder;
  let server: RunningServer;
  let s1: TestKey;
  let s2: TestKey;
  let s3: TestKey;
  let dependencies: TestDependencies;
  let signer: Signer;
  let domains = 0;

  const make = (more: Readonly<Record<string, unknown>> = {}): Promise<Signer> => {
    const { keys, keyTable, signingTable, pidFile, milter } = folder;
    const settings = opendkimKind.settings.parse({
      keys,
      keyTable,
      signingTable,
      reload: { signal: 'SIGUSR1', pidFile, program: 'opendkim' },
      test: { milter, timeout: '1s' },
      senders: { newsletter: ['news@{domain}'] },
      ...more,
    });
    return opendkimKind.create(settings, dependencies);
  };
  const signatures = async (domain: string, from = 'a'): Promise<string[]> => {
    const check = await checkMilter({ socket: folder.milter, from: `${from}@${domain}`, timeout: 3000 });
    if (check.kind !== 'signed') return [check.kind];
    return check.signatures.map(({ selector }) => selector).sort();
  };
  /** A domain that no other test knows. */
  const fresh = (): string => `example${domains++}.test`;
  const filesOf = (domain: string): string[] =>
    existsSync(`${folder.keys}/${domain}`) ? readdirSync(`${folder.keys}/${domain}`).sort() : [];
  const acknowledged = (generation: number): Delivery => ({ kind: 'acknowledged', generation });

  beforeAll(async () => {
    dir = tempDir('opendkim');
    folder = openDkimFolder(dir);
    server = await folder.start();
    [s1, s2, s3] = await Promise.all([makeKey('s1'), makeKey('s2'), makeKey('s3')]);
    dependencies = dependenciesIn(dir);
    signer = await make();
  });
  afterAll(async () => {
    await signer?.close?.();
    await server?.stop();
    dir?.remove();
  });

  test('signs with the keys of the keyring as soon as that is acknowledged', async () => {
    const domain = fresh();
    expect(await signatures(domain)).toEqual(['unsigned']);
    expect(await signer.deliver(keyringOf(domain, 1, [s1]))).toEqual(acknowledged(1));
    expect(await signatures(domain)).toEqual(['s1']);
    expect(await signer.selfTest(domain, 'default', 's1')).toEqual({ kind: 'signed' });
    expect(await signer.deliver(keyringOf(domain, 2, [s1, s2]))).toEqual(acknowledged(2));
    expect(await signatures(domain)).toEqual(['s1', 's2']);
    expect(await signer.deliver(keyringOf(domain, 3, [s2], { others: [other(s1, 'retiring')] }))).toEqual(
      acknowledged(3),
    );
    expect(await signatures(domain)).toEqual(['s2']);
    expect((await signer.selfTest(domain, 'default', 's1')).kind).toBe('failed');
  });

  test('signs with the two keys that entered last, for it makes no more signatures', async () => {
    const domain = fresh();
    const three = [s3, s1, s2].map((key, entered) => ({ ...key, entered }));
    expect(await signer.deliver(keyringOf(domain, 5, three))).toEqual(acknowledged(5));
    expect(await signatures(domain)).toEqual(['s1', 's2']);
  });

  test('keeps the file of a key that retires, and removes it afterwards', async () => {
    const domain = fresh();
    await signer.deliver(keyringOf(domain, 1, [s1]));
    const retiring = keyringOf(domain, 2, [s2], { others: [other(s1, 'retiring')] });
    await signer.deliver(retiring);
    expect(await signer.inspect?.(retiring)).toEqual({ kind: 'as-delivered' });
    expect(filesOf(domain)).toHaveLength(2);
    expect(readFileSync(folder.keyTable, 'utf8')).toContain(`${domain}:s1:`);
    const revoked = keyringOf(domain, 2, [s2], { others: [other(s1, 'revoked')] });
    expect(await signer.inspect?.(revoked)).toEqual({ kind: 'as-delivered' });
    expect(filesOf(domain)).toHaveLength(1);
    expect(readFileSync(folder.keyTable, 'utf8')).not.toContain(`${domain}:s1:`);
    expect(await signatures(domain)).toEqual(['s2']);
  });

  test('refuses an older generation, and a keyring with nothing to sign with', async () => {
    const domain = fresh();
    await signer.deliver(keyringOf(domain, 4, [s1]));
    expect(await signer.deliver(keyringOf(domain, 3, [s2]))).toEqual(acknowledged(4));
    expect(await signer.deliver(keyringOf(domain, 5, []))).toMatchObject({ kind: 'failed' });
    expect(await signatures(domain)).toEqual(['s1']);
    expect(await signer.deliver(keyringOf(fresh(), 0, [], { mustSign: false }))).toEqual(acknowledged(0));
  });

  test('knows after a restart what it had', async () => {
    const domain = fresh();
    await signer.deliver(keyringOf(domain, 7, [s1]));
    await signer.close?.();
    signer = await make();
    expect(await signer.deliver(keyringOf(domain, 6, [s2]))).toEqual(acknowledged(7));
    expect(await signer.selfTest(domain, 'default', 's1')).toEqual({ kind: 'signed' });
    expect(await signer.deliver(keyringOf(domain, 8, [s2]))).toEqual(acknowledged(8));
    expect(await signatures(domain)).toEqual(['s2']);
  });

  test('keeps streams apart by their addresses', async () => {
    const domain = fresh();
    const keyring = keyringOf(domain, 1, { newsletter: [s2] });
    expect(await signer.deliver(keyring)).toEqual(acknowledged(1));
    expect(await signatures(domain, 'news')).toEqual(['s2']);
    expect(await signatures(domain, 'a')).toEqual(['unsigned']);
    const refused = await signer.deliver(keyringOf(fresh(), 1, { default: [s1], crm: [s2] }));
    expect(refused).toMatchObject({ kind: 'failed', message: expect.stringContaining('stream crm') });
  });

  test('forgets a domain: lines and files are gone, other people’s are not', async () => {
    const domain = fresh();
    await signer.deliver(keyringOf(domain, 1, [s1, s2]));
    await signer.forget(domain);
    expect(await signatures(domain)).toEqual(['unsigned']);
    expect(filesOf(domain)).toEqual([]);
    const tables = readFileSync(folder.keyTable, 'utf8') + readFileSync(folder.signingTable, 'utf8');
    expect(tables).not.toContain(domain);
    expect(tables).toContain('# Written by hand.');
    await signer.forget(domain);
  });

  describe('where somebody else wrote', () => {
    const byHand = async (domain: string, key: TestKey): Promise<void> => {
      const file = dir.join(`${domain}.private`);
      writeFileSync(file, exportPrivateKeyPem(key.privateKey), { mode: 0o600 });
      const prepend = (path: string, row: string) => writeFileSync(path, `${row}\n${readFileSync(path, 'utf8')}`);
      prepend(folder.keyTable, `mine.${domain} ${domain}:old:${file}`);
      prepend(folder.signingTable, `*@${domain} mine.${domain}`);
    };

    test('finds the key, changes nothing until it is decided, and then puts its own in place', async () => {
      const domain = fresh();
      await byHand(domain, s3);
      expect(await signer.found?.(domain)).toEqual([
        { selector: 'old', privateKey: exportPrivateKeyPem(s3.privateKey), inUse: true },
      ]);
      const before = readFileSync(folder.signingTable, 'utf8');
      const delivery = await signer.deliver(keyringOf(domain, 1, [s1]));
      expect(delivery).toMatchObject({ kind: 'drifted', message: expect.stringContaining(folder.signingTable) });
      expect(readFileSync(folder.signingTable, 'utf8')).toBe(before);
      expect(await signer.deliver(keyringOf(domain, 1, [s1], { overwrite: true }))).toEqual(acknowledged(1));
      expect(readFileSync(folder.signingTable, 'utf8')).not.toContain('mine');
      // The key itself is somebody else's, and does no harm.
      expect(existsSync(dir.join(`${domain}.private`))).toBe(true);
    });

    test('tells what was lost from what was changed', async () => {
      const domain = fresh();
      const keyring = keyringOf(domain, 1, [s1]);
      await signer.deliver(keyring);
      expect(await signer.inspect?.(keyring)).toEqual({ kind: 'as-delivered' });
      const signing = readFileSync(folder.signingTable, 'utf8');
      writeFileSync(folder.signingTable, signing.replace(new RegExp(`^\\*@${domain} .*\n`, 'm'), ''));
      expect(await signer.inspect?.(keyring)).toMatchObject({ kind: 'lost' });
      writeFileSync(folder.signingTable, `${signing}a@${domain} somebody.else\n`);
      expect(await signer.inspect?.(keyring)).toMatchObject({ kind: 'changed' });
      writeFileSync(folder.signingTable, signing);
      const [name = ''] = filesOf(domain);
      const file = `${folder.keys}/${domain}/${name}`;
      writeFileSync(file, exportPrivateKeyPem(s2.privateKey));
      expect(await signer.inspect?.(keyring)).toMatchObject({ kind: 'changed' });
      expect((await signer.deliver(keyring)).kind).toBe('drifted');
      rmSync(file);
      expect(await signer.inspect?.(keyring)).toMatchObject({ kind: 'lost' });
      expect(await signer.deliver(keyring)).toEqual(acknowledged(1));
      expect(await signatures(domain)).toEqual(['s1']);
    });
  });

  describe('in trouble', () => {
    test('a lost signal is no acknowledgement: it is sent again, then said to be a failure', async () => {
      const domain = fresh();
      await signer.close?.();
      // The command that should tell it does nothing.
      const deaf = await make({
        reload: { command: ['/bin/true'] },
        test: { milter: folder.milter, timeout: '300ms' },
      });
      try {
        const deliveries: Delivery[] = [];
        for (let turn = 0; turn < 3; turn++) deliveries.push(await deaf.deliver(keyringOf(domain, 1, [s1])));
        expect(deliveries.map(({ kind }) => kind)).toEqual(['pending', 'pending', 'failed']);
        expect(deliveries[2]).toMatchObject({
          message: expect.stringMatching(/does not sign with s1 yet.*restart it/),
        });
      } finally {
        await deaf.close?.();
        signer = await make();
      }
      expect(await signer.deliver(keyringOf(domain, 1, [s1]))).toEqual(acknowledged(1));
    });

    test('killed at the switch: nothing is acknowledged until it signs again with what it should', async () => {
      const domain = fresh();
      await signer.deliver(keyringOf(domain, 1, [s1]));
      server.kill('SIGKILL');
      await server.exited;
      const lost = await signer.deliver(keyringOf(domain, 2, [s2]));
      expect(lost).toMatchObject({ kind: 'failed', message: expect.stringContaining('start it again') });
      server = await folder.start();
      // It read its tables at its start.
      expect(await signatures(domain)).toEqual(['s2']);
      expect(await signer.deliver(keyringOf(domain, 2, [s2]))).toEqual(acknowledged(2));
    });

    test('a pid file that names another process: that one is left alone', async () => {
      const domain = fresh();
      const pid = readFileSync(folder.pidFile, 'utf8');
      writeFileSync(folder.pidFile, `${process.pid}\n`);
      try {
        const delivery = await signer.deliver(keyringOf(domain, 1, [s1]));
        expect(delivery).toMatchObject({ kind: 'failed', message: expect.stringContaining('out of date') });
      } finally {
        writeFileSync(folder.pidFile, pid);
      }
      expect(await signer.deliver(keyringOf(domain, 1, [s1]))).toEqual(acknowledged(1));
    });

    test('many domains at once: each is tried, the tables are written a few times', async () => {
      const names = Array.from({ length: 300 }, (_, n) => `bulk${n}.test`);
      const answers = await Promise.all(names.map((name) => signer.deliver(keyringOf(name, 1, [s1]))));
      expect(answers.every(({ kind }) => kind === 'acknowledged')).toBe(true);
      expect(await signatures('bulk299.test')).toEqual(['s1']);
      expect(dependencies.logged.filter((line) => line.includes('signer-files-written')).length).toBeLessThan(60);
    });
  });

  test('no private key stands in what was logged, or in the file of what is where', async () => {
    const text = dependencies.logged.join('\n') + readFileSync(`${dependencies.folder}/state.jsonl`, 'utf8');
    for (const key of [s1, s2, s3]) {
      const pem = exportPrivateKeyPem(key.privateKey).split('\n').slice(1, 3);
      for (const line of pem) expect(text).not.toContain(line);
    }
  });
});
