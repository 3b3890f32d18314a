import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rspamdVault } from '../../src/signers/rspamd-vault/kind.ts';
import type { VaultSigner } from '../../src/signers/rspamd-vault/signer.ts';
import { freePort } from '../support/ports.ts';
import { runOk } from '../support/processes.ts';
import { needRspamd, type RspamdServer, startRspamd } from '../support/rspamd.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { docsGuard } from './rspamd-guard.ts';
import {
  type Dependencies,
  dependencies,
  each,
  ed25519Key,
  keyring,
  rsaKey,
  secretsOf,
  sendMail,
} from './rspamd-world.ts';

const domain = 'example.com';
const token = 'a-token-of-the-mail-server';

describe.skipIf(!needRspamd())('rspamd with the Vault-shaped endpoint', () => {
  const [r1, e1, r2, e2] = [rsaKey('r1'), ed25519Key('e1'), rsaKey('r2', 2), ed25519Key('e2', 2)] as const;
  const keys = [r1, e1, r2, e2];
  let dir: TempDir;
  let port: number;
  let plain: RspamdServer;
  let guarded: RspamdServer;
  let signer: VaultSigner;
  let needs: Dependencies;

  const start = async (loaded: Parameters<typeof each>[0]) => {
    needs = dependencies(dir.path);
    const settings = { listen: [`inet:127.0.0.1:${port}`], token, test: { url: plain.url } };
    signer = (await rspamdVault.create(rspamdVault.settings.parse(settings), needs)) as VaultSigner;
    await signer.load?.(each(loaded));
  };

  beforeAll(async () => {
    dir = tempDir('vault');
    port = await freePort();
    const signing = `use_vault = true; vault_url = "http://127.0.0.1:${port}"; vault_token = "${token}"; use_esld = false;`;
    plain = await startRspamd({ signing });
    guarded = await startRspamd({ signing, guard: docsGuard() });
    await start([keyring(domain, 1, [r1, e1])]);
  });

  afterAll(async () => {
    await signer?.close?.();
    await plain?.stop();
    await guarded?.stop();
    dir?.remove();
  });

  test('signs with RSA and Ed25519 together, and changes keys with the next message', async () => {
    expect(await sendMail(plain, domain, keys)).toEqual({ verdict: 'accepted', signedBy: ['e1', 'r1'] });
    await signer.deliver(keyring(domain, 2, [r1, e1, r2, e2]));
    expect(await sendMail(plain, domain, keys)).toEqual({ verdict: 'accepted', signedBy: ['e1', 'e2', 'r1', 'r2'] });
    await signer.deliver(keyring(domain, 3, [r2, e2]));
    expect(await sendMail(plain, domain, keys)).toEqual({ verdict: 'accepted', signedBy: ['e2', 'r2'] });
    expect(signer.requests().get(domain)?.count).toBeGreaterThanOrEqual(3);
  });

  test('the self-test is of rspamd itself', async () => {
    for (const selector of ['r2', 'e2'])
      expect(await signer.selfTest(domain, 'default', selector)).toEqual({ kind: 'signed' });
    await signer.deliver(keyring('unasked.example', 1, [r1]));
    expect(await signer.selfTest('unasked.example', 'default', 'r1')).toEqual({ kind: 'signed' });
    const gone = await signer.selfTest(domain, 'default', 'r1');
    expect(gone).toMatchObject({ kind: 'failed' });
  });

  test('mail through the guard is signed; where the endpoint is away, or has no key, it is put off', async () => {
    expect(await sendMail(guarded, domain, keys)).toEqual({ verdict: 'accepted', signedBy: ['e2', 'r2'] });
    await signer.close?.();
    expect(await sendMail(guarded, domain, keys)).toEqual({ verdict: 'tempfailed', signedBy: [] });
    // Without the guard rspamd lets it pass: what the page warns of.
    expect(await sendMail(plain, domain, keys)).toEqual({ verdict: 'accepted', signedBy: [] });
    expect(await sendMail(guarded, 'unsigned.example', keys)).toEqual({ verdict: 'accepted', signedBy: [] });
    await start([keyring(domain, 4, [])]);
    expect(await sendMail(guarded, domain, keys)).toEqual({ verdict: 'tempfailed', signedBy: [] });
    await signer.close?.();
    await start([keyring(domain, 4, [r2, e2])]);
    expect(await sendMail(guarded, domain, keys)).toEqual({ verdict: 'accepted', signedBy: ['e2', 'r2'] });
  });

  test('killed and started again at the switch, it signs with the new keys at once', async () => {
    await plain.kill();
    const delivered = signer.deliver(keyring(domain, 5, [r1, e1, r2, e2]));
    expect(await delivered).toMatchObject({ kind: 'acknowledged' });
    const away = await signer.selfTest(domain, 'default', 'r1');
    expect(away).toMatchObject({ kind: 'failed', message: expect.stringContaining('cannot be reached') });
    await plain.start();
    expect(await signer.selfTest(domain, 'default', 'r1')).toEqual({ kind: 'signed' });
    expect(await sendMail(plain, domain, keys)).toEqual({ verdict: 'accepted', signedBy: ['e1', 'e2', 'r1', 'r2'] });
  });

  test('over TLS and by a UNIX socket; never in the clear where others can listen', async () => {
    const [cert, key] = [dir.join('cert.pem'), dir.join('key.pem')];
    await runOk('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '1',
      '-subj',
      '/CN=keyturn',
      '-keyout',
      key,
      '-out',
      cert,
    ]);
    const make = async (settings: object) =>
      (await rspamdVault.create(
        rspamdVault.settings.parse({ token, ...settings }),
        dependencies(dir.path),
      )) as VaultSigner;
    for (const settings of [
      { listen: ['inet:127.0.0.1:0'], tls: { cert, key } },
      { listen: [`unix:${dir.join('vault.sock')}`] },
    ]) {
      const other = await make(settings);
      await other.load?.(each([keyring(domain, 1, [r1, e1])]));
      for (const selector of ['r1', 'e1'])
        expect(await other.selfTest(domain, 'default', selector)).toEqual({ kind: 'signed' });
      await other.close?.();
    }
    await expect(make({ listen: ['inet:0.0.0.0:0'] })).rejects.toThrow('in the clear');
    await expect(make({ token: undefined })).rejects.toThrow('no token');
  });

  test('nobody writes a private key into a log', () => {
    const written = [needs.lines.join('\n'), plain.output(), guarded.output()].join('\n');
    for (const secret of [...secretsOf(keys), token]) expect(written).not.toContain(secret);
  });
});
