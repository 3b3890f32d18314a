import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exportPrivateKeyPem } from '../../src/dkim/key-pair.ts';
import { execKind } from '../../src/signers/exec/kind.ts';
import { protocolSchema } from '../../src/signers/exec/protocol.ts';
import type { Signer } from '../../src/signers/signer.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { needDkimpy } from '../support/verifiers.ts';
import { dependenciesIn, keyringOf, makeKey, type TestDependencies, type TestKey } from './keyrings.ts';
import { active, createSignerScene, domainName, quickPolicy, type settled } from './scene.ts';

const script = fileURLToPath(new URL('remote-signer.py', import.meta.url));

test('docs/signers/exec.schema.json says what the program says', () => {
  const file = new URL('../../docs/signers/exec.schema.json', import.meta.url);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(protocolSchema());
});

describe.skipIf(!needDkimpy())('a program of one’s own', () => {
  let dir: TempDir;
  let dependencies: TestDependencies;
  let rsa: TestKey;
  let ed: TestKey;
  const signers: Signer[] = [];

  const make = async (more: Readonly<Record<string, unknown>> = {}): Promise<Signer> => {
    const command = ['/usr/bin/python3', script, dir.join('keys')];
    const settings = execKind.settings.parse({ command, supports: ['inspect', 'found'], ...more });
    const signer = await execKind.create(settings, dependencies);
    signers.push(signer);
    return signer;
  };
  const steer = async (name: string, task: () => Promise<void>): Promise<void> => {
    writeFileSync(dir.join('keys', name), '');
    try {
      await task();
    } finally {
      rmSync(dir.join('keys', name));
    }
  };

  beforeAll(async () => {
    dir = tempDir('exec');
    mkdirSync(dir.join('keys'));
    dependencies = dependenciesIn(dir);
    [rsa, ed] = await Promise.all([makeKey('r1'), makeKey('e1', 'ed25519')]);
  });
  afterAll(() => dir?.remove());

  test('gets the keys, and its test signatures are verified', async () => {
    const signer = await make();
    const keyring = keyringOf('a.test', 3, [rsa, ed]);
    expect(await signer.deliver(keyring)).toEqual({ kind: 'acknowledged', generation: 3 });
    expect(await signer.selfTest('a.test', 'default', 'r1')).toEqual({ kind: 'signed' });
    expect(await signer.selfTest('a.test', 'default', 'e1')).toEqual({ kind: 'signed' });
    expect(await signer.deliver(keyringOf('a.test', 2, [rsa]))).toEqual({ kind: 'acknowledged', generation: 3 });
    expect(await signer.inspect?.(keyring)).toEqual({ kind: 'as-delivered' });
    const found = await signer.found?.('a.test');
    expect(found?.map(({ selector }) => selector)).toEqual(['r1', 'e1']);
    await signer.forget('a.test');
    expect(await signer.inspect?.(keyring)).toMatchObject({ kind: 'lost' });
  });

  test('a signature by another key is none', async () => {
    const signer = await make();
    await signer.deliver(keyringOf('b.test', 1, [rsa]));
    const impostor = await makeKey('r1');
    const stored = JSON.parse(readFileSync(dir.join('keys', 'b.test.json'), 'utf8'));
    stored.streams.default[0].privateKey = exportPrivateKeyPem(impostor.privateKey);
    writeFileSync(dir.join('keys', 'b.test.json'), JSON.stringify(stored));
    const tested = await signer.selfTest('b.test', 'default', 'r1');
    expect(tested).toMatchObject({ kind: 'failed', message: expect.stringContaining('does not verify') });
  });

  test('what it says of trouble is passed on, without keys', async () => {
    const signer = await make({ timeout: '1s' });
    await steer('pending', async () => {
      expect(await signer.deliver(keyringOf('c.test', 1, [rsa]))).toEqual({
        kind: 'pending',
        message: 'It is being loaded.',
      });
    });
    await steer('fail', async () => {
      const failed = await signer.deliver(keyringOf('c.test', 1, [rsa]));
      expect(failed).toMatchObject({ kind: 'failed', message: expect.stringContaining('exit code 3') });
      expect(JSON.stringify(failed)).not.toMatch(/PRIVATE|[A-Za-z0-9+/]{40}/);
    });
    await steer('slow', async () => {
      const late = await signer.deliver(keyringOf('c.test', 1, [rsa]));
      expect(late).toMatchObject({ kind: 'failed', message: expect.stringContaining('longer than 1000 ms') });
    });
    const stored = { domain: 'd.test', generation: 0, streams: {}, by: 'hand' };
    writeFileSync(dir.join('keys', 'd.test.json'), JSON.stringify(stored));
    expect(await signer.deliver(keyringOf('d.test', 1, [rsa]))).toMatchObject({ kind: 'drifted' });
    const overwritten = await signer.deliver(keyringOf('d.test', 1, [rsa], { overwrite: true }));
    expect(overwritten).toEqual({ kind: 'acknowledged', generation: 1 });
  });

  test('answers that are none of the protocol are failures', async () => {
    for (const said of ['', 'yes', '{"result":"acknowledged"}', '{"result":"acknowledged","generation":"1"}']) {
      const signer = await make({ command: ['/bin/sh', '-c', `cat >/dev/null; printf '%s' '${said}'`] });
      expect(await signer.deliver(keyringOf('e.test', 1, [rsa])), said).toMatchObject({ kind: 'failed' });
    }
    const flood = await make({ command: ['/bin/sh', '-c', 'cat >/dev/null; yes'] });
    const flooded = await flood.deliver(keyringOf('e.test', 1, [rsa]));
    expect(flooded).toMatchObject({ kind: 'failed', message: expect.stringContaining('more than') });
    const old = await make({
      command: ['/bin/sh', '-c', `cat >/dev/null; echo '{"result":"acknowledged","generation":1}'`],
    });
    expect(await old.deliver(keyringOf('f.test', 2, [rsa]))).toMatchObject({ kind: 'pending' });
  });

  test('no key and no secret of ours stands in its arguments, its environment, the log or the state', async () => {
    const secret = 'a-key-encryption-key-of-the-tests';
    process.env.KEYTURN_KEK = secret;
    try {
      const signer = await make();
      await signer.deliver(keyringOf('g.test', 1, [rsa]));
    } finally {
      delete process.env.KEYTURN_KEK;
    }
    const seen = readFileSync(dir.join('keys', 'seen'), 'utf8');
    const [, line = ''] = exportPrivateKeyPem(rsa.privateKey).split('\n');
    const state = readFileSync(`${dependencies.folder}/state.jsonl`, 'utf8');
    expect(seen).toContain('"deliver"');
    for (const text of [seen, state, dependencies.logged.join('\n')]) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain(line);
    }
  });

  test('a whole rotation', async () => {
    await using scene = await createSignerScene(() => make(), {
      ...quickPolicy,
      keys: [
        { algorithm: 'rsa', bits: 2048, count: 1 },
        { algorithm: 'ed25519', bits: 256, count: 1 },
      ],
    });
    await scene.add();
    const both = (snapshot: Parameters<typeof settled>[0]): boolean =>
      active(snapshot).length === 2 && active(snapshot).every((key) => Object.keys(key.signaturesSeen).length > 0);
    const first = active(await scene.until(both)).map(({ id }) => id);
    scene.time += quickPolicy.rotateEvery;
    await scene.until((snapshot) =>
      first.every((id) => snapshot.keys.some((key) => key.id === id && key.state === 'removed')),
    );
    const { domain } = await scene.snapshot();
    const stored = JSON.parse(readFileSync(dir.join('keys', `${domainName}.json`), 'utf8'));
    expect(stored.generation).toBe(domain.generation);
    expect(stored.streams.default).toHaveLength(2);
  });
});
