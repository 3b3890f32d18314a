/** One domain, three signers that are not alike: the built-in milter, OpenDKIM, and rspamd's endpoint. Changes wait for all of them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Snapshot } from '../../src/lifecycle/types.ts';
import { checkMilter } from '../../src/signers/milter/check.ts';
import { writeFastConfig } from '../control/fast-config.ts';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { need } from '../support/need.ts';
import { freePort } from '../support/ports.ts';
import { type RunningServer, waitFor } from '../support/processes.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { type OpenDkimFolder, openDkimFolder } from './opendkim-process.ts';

const domain = 'several.test';

describe.skipIf(!need('opendkim', 'opendkim'))('a domain with several signers', () => {
  let dir: TempDir;
  let folder: OpenDkimFolder;
  let opendkim: RunningServer;
  let server: RunningServer;
  let milter: string;

  const show = () => keyturnJson<Snapshot>(['domain', 'show', domain], { cwd: dir.path });
  const until = async (what: string, holds: (snapshot: Snapshot) => boolean): Promise<Snapshot> => {
    let last = await show();
    await waitFor(
      async () => {
        last = await show();
        return holds(last);
      },
      { what, within: 60_000 },
    );
    return last;
  };
  const active = ({ keys }: Snapshot) => keys.filter(({ state }) => state === 'active');
  const selectors = (snapshot: Snapshot, algorithm?: string) =>
    active(snapshot)
      .filter((key) => algorithm === undefined || key.algorithm === algorithm)
      .map(({ selector }) => selector)
      .sort();
  /** Every signer has the keyring, and has signed with all that it can sign with. */
  const settled = (snapshot: Snapshot) =>
    active(snapshot).length === 2 &&
    snapshot.keys.filter(({ state }) => state === 'standby').length === 2 &&
    snapshot.signers.every(({ id, acknowledgedGeneration, abilities, setAsideAt }) =>
      setAsideAt !== null
        ? true
        : acknowledgedGeneration === snapshot.domain.generation &&
          active(snapshot).every(
            ({ algorithm, signaturesSeen }) =>
              abilities?.algorithms.includes(algorithm) === false || signaturesSeen[id] !== undefined,
          ),
    );
  const signedBy = async (socket: string): Promise<string[]> => {
    const check = await checkMilter({ socket, from: `a@${domain}`, timeout: 3000 });
    return check.kind === 'signed' ? check.signatures.map(({ selector }) => selector).sort() : [check.kind];
  };

  beforeAll(async () => {
    dir = tempDir('several');
    folder = openDkimFolder(dir);
    opendkim = await folder.start();
    const { keys, keyTable, signingTable, pidFile } = folder;
    const config = await writeFastConfig(dir, domain, {
      signers: [
        {
          kind: 'opendkim',
          name: 'opendkim',
          keys,
          keyTable,
          signingTable,
          reload: { signal: 'SIGUSR1', pidFile, program: 'opendkim' },
          test: { milter: folder.milter, timeout: '1s' },
        },
        {
          kind: 'rspamd-vault',
          name: 'vault',
          listen: [`inet:127.0.0.1:${await freePort()}`],
          token: 'a token of the tests only',
        },
      ],
    });
    config.rewrite({ rotateEvery: '1h' });
    milter = config.socket;
    server = await startKeyturn(['serve'], { cwd: dir.path, ready: (output) => output().includes('"ready"') });
    await keyturnJson(['domain', 'add', domain], { cwd: dir.path });
  });
  afterAll(async () => {
    await server?.stop();
    await opendkim?.stop();
    dir?.remove();
  });

  test('has each sign with what it can, and counts a key once all of those have signed with it', async () => {
    const snapshot = await until('all signers to sign', settled);
    expect(snapshot.signers.map(({ id }) => id).sort()).toEqual(['milter', 'opendkim@milter', 'vault@milter']);
    expect(await signedBy(milter)).toEqual(selectors(snapshot));
    expect(await signedBy(folder.milter)).toEqual(selectors(snapshot, 'rsa'));
  });

  test('gives no old key up while one of them is away, until an operator sets that one aside', async () => {
    const before = await show();
    const old = selectors(before, 'rsa');
    await opendkim.stop();
    await keyturnJson(['key', 'rotate', domain], { cwd: dir.path });
    const waiting = await until(
      'a condition of OpenDKIM',
      ({ conditions, keys }) =>
        conditions.some(({ subject }) => subject.kind === 'signer' && subject.id === 'opendkim@milter') &&
        keys.filter(({ state }) => state === 'active').length >= 3,
    );
    expect(selectors(waiting)).toEqual(expect.arrayContaining(old));
    expect(await signedBy(milter)).toEqual(expect.arrayContaining(old));

    const aside = await keyturn(['signer', 'set-aside', domain, 'opendkim@milter'], { cwd: dir.path });
    expect(aside.code, aside.stderr).toBe(0);
    const after = await until('the rotation to end', (now) => settled(now) && !selectors(now).includes(old[0] ?? ''));
    expect(await signedBy(milter)).toEqual(selectors(after));
    const { stdout } = await keyturn(['audit', 'list', '--domain', domain, '--json'], { cwd: dir.path });
    expect(stdout).toContain('signer-set-aside');
  });

  test('waits for it again once it is back, and it signs with the new keys', async () => {
    opendkim = await folder.start();
    await keyturnJson(['signer', 'bring-back', domain, 'opendkim@milter'], { cwd: dir.path });
    const snapshot = await until('all signers to sign again', settled);
    expect(snapshot.signers.every(({ setAsideAt }) => setAsideAt === null)).toBe(true);
    expect(await signedBy(folder.milter)).toEqual(selectors(snapshot, 'rsa'));
    expect(server.output()).not.toContain('PRIVATE KEY');
  });
});
