import { createHash, generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { type RunningServer, waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { writeFastConfig } from './fast-config.ts';

const domain = 'example.test';

/** Pieces of a private key that must be nowhere in plain: as DER, base64, base64url and hexadecimal, wherever a line may break. */
function traces(pkcs8: Buffer): Buffer[] {
  const middle = pkcs8.subarray(Math.floor(pkcs8.length / 2));
  const raw = [0, 1, 2].map((offset) => middle.subarray(offset, offset + 24));
  const texts = raw.flatMap((piece) => [
    piece.toString('base64').slice(0, 28),
    piece.toString('base64url').slice(0, 28),
    piece.toString('hex'),
  ]);
  return [...raw, ...texts.map((text) => Buffer.from(text))];
}

describe('private keys', () => {
  const dir = tempDir('secrets');
  let server: RunningServer | undefined;
  afterAll(async () => {
    await server?.stop();
    dir.remove();
  });

  test('are nowhere in plain: not in output, logs, journal, database, nor in what errors say', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    const ed25519 = generateKeyPairSync('ed25519').privateKey;
    const pkcs8 = [rsa, ed25519].map((key) => key.export({ type: 'pkcs8', format: 'der' }));
    writeFileSync(dir.join('rsa.pem'), rsa.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 });
    writeFileSync(dir.join('ed.pem'), ed25519.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const broken = rsa.export({ type: 'pkcs8', format: 'pem' }).toString().replaceAll('\n', '').slice(0, 900);
    writeFileSync(dir.join('broken.pem'), broken, { mode: 0o600 });
    await writeFastConfig(dir, domain);

    let written = '';
    const tell = async (...args: string[]) => {
      const { stdout, stderr, code } = await keyturn(args, { cwd: dir.path });
      written += stdout + stderr;
      return code;
    };
    const take = (file: string, selector: string) =>
      tell('domain', 'import', domain, '--selector', selector, '--key', dir.join(file));
    expect(await take('rsa.pem', 'old1')).toBe(0);
    expect(await take('ed.pem', 'old2')).toBe(0);
    expect(await take('ed.pem', 'old2')).toBe(1);
    expect(await take('broken.pem', 'old3')).toBe(2);

    server = await startKeyturn(['serve'], { cwd: dir.path, ready: (read) => read().includes('"ready"') });
    const show = () =>
      keyturnJson<{ keys: Array<{ selector: string; activatedAt: number | null }> }>(['domain', 'show', domain], {
        cwd: dir.path,
      });
    // Their records are new, so that keys of our own may be as soon, and take their place at once.
    await waitFor(
      async () => {
        const { keys } = await show();
        return (
          keys.filter(({ selector, activatedAt }) => selector.startsWith('old') && activatedAt !== null).length === 2
        );
      },
      { within: 40_000, every: 250, what: 'the imported keys to have been active' },
    );
    for (const args of [
      ['domain', 'show', domain, '--json'],
      ['key', 'list', domain, '--json'],
      ['key', 'show', domain, 'old1', '--json'],
      ['audit', 'list', '--limit', '1000', '--json'],
      ['plan', domain, '--json'],
      ['config', 'show', '--json'],
      ['milter', '--check', '--from', `me@${domain}`, '--json'],
    ]) {
      expect(await tell(...args), args.join(' ')).toBe(0);
    }
    await server.stop();
    written += server.output();
    expect(written).toContain('key-imported');

    const kek = readFileSync(dir.join('data', 'kek'), 'utf8').trim();
    const places = new Map([['output', Buffer.from(written)]]);
    for (const file of readdirSync(dir.join('data'))) {
      if (file !== 'kek') places.set(file, readFileSync(dir.join('data', file)));
    }
    expect(places.size).toBeGreaterThan(1);
    const secrets = [
      ...pkcs8.flatMap(traces),
      Buffer.from('PRIVATE KEY'),
      Buffer.from(kek),
      Buffer.from(kek, 'base64'),
    ];
    for (const [place, content] of places) {
      for (const secret of secrets) {
        // The secret itself must not be in what a failing test prints.
        const name = createHash('sha256').update(secret).digest('hex').slice(0, 8);
        expect(content.includes(secret), `${place} holds a trace of a secret (${name})`).toBe(false);
      }
    }
  });
});
