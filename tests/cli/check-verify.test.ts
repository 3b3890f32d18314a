import { existsSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { receivedMessage, rehearsalMessage } from '../../src/control/rehearsal/message.ts';
import { generateKeyPair, type KeyPair, publicKeyData } from '../../src/dkim/key-pair.ts';
import { buildKeyRecord, buildRevokedRecord } from '../../src/dkim/key-record.ts';
import { type AuthoritativeServer, createAuthoritativeServer } from '../../src/dns/serve/server.ts';
import { createZoneStore } from '../../src/dns/serve/zone-store.ts';
import { createKeyringBook } from '../../src/signers/keyring-book.ts';
import { connectMilter } from '../../src/signers/milter/client.ts';
import { startMilter } from '../../src/signers/milter/server.ts';
import { keyturn } from '../support/keyturn.ts';
import { freePort } from '../support/ports.ts';
import { tempDir } from '../support/temp.ts';

const domain = 'example.test';

describe('check and verify', () => {
  const dir = tempDir('check');
  let server: AuthoritativeServer;
  let port: number;
  let pair: KeyPair;

  beforeAll(async () => {
    pair = await generateKeyPair({ algorithm: 'rsa', bits: 2048 });
    const good = buildKeyRecord({ algorithm: 'rsa', publicKey: publicKeyData(pair.publicKey) });
    const zones = createZoneStore([{ apex: domain, nameServers: [`ns1.${domain}`] }]);
    const set = (selector: string, value: string) => zones.set(`${selector}._domainkey.${domain}`, { value, ttl: 60 });
    set('good', good);
    set('testing', `${good}; t=y`);
    set('revoked', buildRevokedRecord('rsa'));
    set('cut', good.slice(0, 200));
    set('default', good);
    port = await freePort();
    server = await createAuthoritativeServer({ zones, listen: [{ address: '127.0.0.1', port }], rateLimit: false });
  });
  afterAll(async () => {
    await server.close();
    dir.remove();
  });

  const check = async (...selectors: string[]) => {
    const args = ['check', domain, ...selectors, '--server', `127.0.0.1:${port}`, '--json'];
    const { code, stdout } = await keyturn(args, { cwd: dir.path });
    return { code, report: JSON.parse(stdout) };
  };

  test.each([
    ['good', 0, 'usable'],
    ['testing', 0, 'weak'],
    ['revoked', 1, 'revoked'],
    ['cut', 1, 'invalid'],
    ['none', 1, 'missing'],
  ])('check of a record that is %s ends with %d', async (selector, code, status) => {
    const checked = await check(selector);
    expect(checked.report.selectors).toMatchObject([{ selector, status }]);
    expect(checked.code).toBe(code);
  });

  test('check without selectors finds the usual ones, and makes no store', async () => {
    const { code, report } = await check();
    expect(code).toBe(0);
    expect(report.selectors.map(({ selector }: { selector: string }) => selector)).toEqual(['default']);
    const { code: shown, stdout } = await keyturn(['check', domain, 'good', '--server', `127.0.0.1:${port}`], {
      cwd: dir.path,
    });
    expect(shown).toBe(0);
    expect(stdout).toMatch(/usable {2}good\._domainkey\.example\.test {2}RSA 2048 bits, TTL 60 s/);
    expect(existsSync(dir.join('.keyturn'))).toBe(false);
  });

  test('check of a server that does not answer ends with 3', async () => {
    const silent = await freePort();
    const args = ['check', domain, 'good', '--server', `127.0.0.1:${silent}`, '--timeout', '2s'];
    expect((await keyturn(args, { cwd: dir.path })).code).toBe(3);
    const guessed = await keyturn(
      args.filter((arg) => arg !== 'good'),
      { cwd: dir.path },
    );
    expect(guessed.code).toBe(3);
    expect(guessed.stdout).toContain('No server that could speak for example.test was reached');
    expect(guessed.stdout).toContain(`127.0.0.1:${silent}`);
    expect(guessed.stdout).not.toContain('No key found');
  });

  test('verify judges a message as its receiver would', { timeout: 60_000 }, async () => {
    const keyrings = createKeyringBook();
    const keyring = (selector: string) => [{ selector, algorithm: 'rsa-sha256' as const, privateKey: pair.privateKey }];
    const sign = async (selector: string): Promise<Buffer> => {
      keyrings.put({ domain, generation: 1, mustSign: true, streams: { default: keyring(selector) } });
      await using milter = await startMilter({ listen: ['inet:127.0.0.1:0'], keyrings });
      using client = await connectMilter(milter.endpoints[0] ?? '');
      const message = rehearsalMessage(domain, 1, Date.now());
      return receivedMessage(message, (await client.deliver(message)).added);
    };
    const verify = async (message: Buffer | string, resolver = port) => {
      writeFileSync(dir.join('message.eml'), message);
      const args = ['verify', 'message.eml', '--resolver', `127.0.0.1:${resolver}`, '--json'];
      const { code, stdout, stderr } = await keyturn(args, { cwd: dir.path });
      return { code, signatures: JSON.parse(stdout || stderr).signatures };
    };
    const good = await sign('good');
    expect(await verify(good)).toMatchObject({ code: 0, signatures: [{ domain, selector: 'good', result: 'pass' }] });
    expect((await verify(good.toString('latin1').replace('message 1.', 'message 2.'))).code).toBe(1);
    expect(await verify('Subject: unsigned\r\n\r\nhello\r\n')).toEqual({ code: 1, signatures: [] });
    expect((await verify(Buffer.alloc(1000, 0xff))).code).toBe(1);
    expect((await verify('')).code).toBe(2);
    expect((await verify(good, await freePort())).code).toBe(3);
    expect((await verify(await sign('revoked'))).code).toBe(1);
  });
});
