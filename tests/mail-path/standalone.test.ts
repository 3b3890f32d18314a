import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startKeyturn } from '../support/keyturn.ts';
import { accepts, freePort } from '../support/ports.ts';
import { type RunningServer, waitFor } from '../support/processes.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { domain, type MailPath, needMailPath, openMailPath } from './mail-path.ts';

interface TestKey {
  readonly selector: string;
  readonly algorithm: 'rsa-sha256' | 'ed25519-sha256';
  readonly privateKey: string;
  readonly record: string;
}

function makeKey(selector: string, algorithm: TestKey['algorithm']): TestKey {
  const isRsa = algorithm === 'rsa-sha256';
  const { privateKey, publicKey } = isRsa
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ed25519');
  const der = publicKey.export({ type: 'spki', format: 'der' });
  // RFC 8463 section 4: the record holds the bare 32 octets, not the structure around them.
  const p = (isRsa ? der : der.subarray(-32)).toString('base64');
  const strings = `v=DKIM1; k=${isRsa ? 'rsa' : 'ed25519'}; p=${p}`.match(/.{1,200}/g) ?? [];
  return {
    selector,
    algorithm,
    privateKey: pem(privateKey),
    record: `${selector}._domainkey IN TXT ( ${strings.map((text) => `"${text}"`).join(' ')} )`,
  };
}

const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();

/** `keyturn milter --keyring FILE` behind a real Postfix: no store, no control plane. */
describe.skipIf(!needMailPath())('Postfix with the standalone milter', () => {
  const first = [makeKey('r1', 'rsa-sha256'), makeKey('e1', 'ed25519-sha256')];
  const second = [makeKey('r2', 'rsa-sha256'), makeKey('e2', 'ed25519-sha256')];
  let dir: TempDir;
  let port: number;
  let milter: RunningServer;
  let path: MailPath;

  const writeKeyring = (generation: number, keys: readonly TestKey[]): void => {
    const entries = keys.map(({ selector, algorithm, privateKey }) => ({ selector, algorithm, privateKey }));
    const text = JSON.stringify({ generation, domains: { [domain]: { keys: entries } } });
    writeFileSync(dir.join('new.json'), text, { mode: 0o600 });
    renameSync(dir.join('new.json'), dir.join('keyring.json'));
  };
  const startMilter = (): Promise<RunningServer> =>
    startKeyturn(['milter', '--keyring', dir.join('keyring.json'), '--listen', `inet:127.0.0.1:${port}`], {
      cwd: dir.path,
      ready: () => accepts(port),
    });

  beforeAll(async () => {
    dir = tempDir('standalone');
    port = await freePort();
    writeKeyring(1, first);
    milter = await startMilter();
    path = await openMailPath(`inet:127.0.0.1:${port}`, { records: [...first, ...second].map((key) => key.record) });
  });

  afterAll(async () => {
    await path?.[Symbol.asyncDispose]();
    await milter?.stop();
    dir?.remove();
  });

  test('every message is signed by every key through two changes of the keyring', async () => {
    const selectorsOfLast = (): string => {
      const text = path.last()?.bytes.toString('latin1') ?? '';
      return [...text.matchAll(/\bs=([a-z0-9]+);/g)]
        .map((match) => match[1])
        .sort()
        .join(' ');
    };
    const waitForSelectors = async (wanted: string): Promise<number> => {
      const start = path.tally.delivered;
      return path.sendUntil(() => selectorsOfLast() === wanted && path.tally.delivered - start >= 60);
    };
    let taken = await waitForSelectors('e1 r1');
    writeKeyring(2, [...first, ...second]);
    taken += await waitForSelectors('e1 e2 r1 r2');
    writeKeyring(3, second);
    taken += await waitForSelectors('e2 r2');
    const { delivered, unsigned, withoutRsa, withoutEd25519, failures, passed } = path.tally;
    expect({ unsigned, withoutRsa, withoutEd25519, failures: [...failures] }).toEqual({
      unsigned: 0,
      withoutRsa: 0,
      withoutEd25519: 0,
      failures: [],
    });
    expect(delivered).toBe(taken);
    expect(delivered).toBeGreaterThanOrEqual(180);
    expect([...passed.keys()].sort()).toEqual(
      ['Mail::DKIM r1', 'Mail::DKIM r2']
        .concat(['dkimpy', 'mailauth'].flatMap((name) => ['e1', 'e2', 'r1', 'r2'].map((key) => `${name} ${key}`)))
        .sort(),
    );
  });

  test('messages of every shape verify after Postfix has handled them', async () => {
    path.reset();
    const from = `From: =?utf-8?q?J=C3=BCrgen?= \t(shape) <shape@${domain}>\n`;
    const shapes = [
      `${from}\n`,
      `${from}Subject: no end of line\n\nlast line`,
      `${from}Subject:\n folded\n\tand folded again  \nX-Empty:\nto: Reader <reader@sink.test>\n\ntrailing blanks \t \n\n\n\n`,
      `${from}Subject: dots\n\n.\n..\n.a line that begins with a dot\n`,
      `${from}Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\u00fc\u20ac\u{1f511} \n`,
      `${from}Subject: long\nX-Long: ${'word '.repeat(180)}\n\n${'x'.repeat(950)}\n`,
      `Received: from a\nReceived: from b\n${from}Subject: one\nSubject: two\n\n${'a line of a large body\n'.repeat(8000)}`,
    ];
    for (const [index, shape] of shapes.entries()) {
      writeFileSync(dir.join(`shape-${index}`), shape);
      const sent = await path.sendOne(['--data', `@${dir.join(`shape-${index}`)}`]);
      expect(sent.code, sent.stdout).toBe(0);
      await path.postfix.sendmail(shape, `shape@${domain}`, 'reader@sink.test');
    }
    await waitFor(() => path.tally.delivered === 2 * shapes.length, { what: 'every message to arrive' });
    await path.settle();
    const { unsigned, withoutRsa, withoutEd25519, failures } = path.tally;
    expect([unsigned, withoutRsa, withoutEd25519, ...failures]).toEqual([0, 0, 0]);
  });

  test('mail of domains that are not in the keyring passes as it is', async () => {
    path.reset();
    const sent = await path.sendOne(['--from', 'somebody@elsewhere.test']);
    expect(sent.code, sent.stdout).toBe(0);
    await waitFor(() => path.tally.delivered === 1, { what: 'the message to arrive' });
    expect(path.last()?.bytes.toString('latin1')).not.toMatch(/DKIM-Signature/i);
  });

  test('a domain that must be signed and has no key is deferred, and nothing leaves', async () => {
    path.reset();
    writeKeyring(4, []);
    await waitFor(async () => (await path.sendOne()).code !== 0, {
      every: 100,
      what: 'the empty keyring to be loaded',
    });
    await path.settle();
    const before = path.tally.delivered;
    const refused = await path.sendOne();
    expect(refused.stdout).toMatch(/<\*\* 4\d\d 4\.7\.\d .*example\.test/);
    expect(await path.postfix.queued()).toBe(0);
    expect(path.tally).toMatchObject({ delivered: before, unsigned: 0 });
    writeKeyring(5, second);
    await waitFor(async () => (await path.sendOne()).code === 0, { every: 100, what: 'the keys to be loaded again' });
    await path.settle();
    expect(path.tally).toMatchObject({ delivered: before + 1, unsigned: 0 });
  });

  test('while the milter is gone Postfix defers, and goes on when it is back', async () => {
    path.reset();
    milter.kill('SIGKILL');
    await milter.exited;
    const refused = await path.sendOne();
    expect(refused.stdout).toMatch(/<\*\* 451 4\.7\.1/);
    milter = await startMilter();
    const sent = await path.sendOne();
    expect(sent.code, sent.stdout).toBe(0);
    await waitFor(() => path.tally.delivered === 1, { what: 'the message to arrive' });
    await path.settle();
    expect(path.tally).toMatchObject({ delivered: 1, unsigned: 0, withoutRsa: 0, withoutEd25519: 0 });
  });
});
