/** Keys that other software made are taken in, and their records are read. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { importPrivateKey } from '../../src/dkim/import-key.ts';
import { publicKeyData } from '../../src/dkim/key-pair.ts';
import { parseKeyRecord } from '../../src/dkim/key-record.ts';
import { need } from '../support/need.ts';
import { tempDir } from '../support/temp.ts';
import { haveDkimpy } from './verifiers.ts';

const folder = tempDir('keys');
afterAll(() => folder.remove());

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { cwd: folder.path, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}

function read(file: string): Buffer {
  return readFileSync(folder.join(file));
}

/** The text of a TXT record in zone-file form: its quoted strings, joined. */
function joined(zoneFile: string): string {
  return [...zoneFile.matchAll(/"([^"]*)"/g)].map(([, text]) => text).join('');
}

function expectPair(privateKey: string | Uint8Array, record: string, algorithm: 'rsa' | 'ed25519'): void {
  const imported = importPrivateKey(privateKey);
  const parsed = parseKeyRecord(record);
  if (!imported.ok) throw new Error(imported.error.message);
  if (parsed.kind !== 'key') throw new Error(`the record is ${parsed.kind}`);
  expect([imported.pair.algorithm, parsed.algorithm]).toEqual([algorithm, algorithm]);
  expect(publicKeyData(parsed.publicKey)).toBe(publicKeyData(imported.pair.publicKey));
}

describe.skipIf(!need('openssl', 'openssl'))('OpenSSL', () => {
  test('RSA in each form, and what it encrypts is recognised', () => {
    run('openssl', 'genrsa', '-traditional', '-out', 'pkcs1.pem', '2048');
    const record = `v=DKIM1; p=${run('openssl', 'rsa', '-in', 'pkcs1.pem', '-pubout', '-outform', 'PEM').replaceAll(/-----.*-----|\n/g, '')}`;
    run('openssl', 'pkcs8', '-topk8', '-nocrypt', '-in', 'pkcs1.pem', '-out', 'pkcs8.pem');
    run('openssl', 'pkcs8', '-topk8', '-nocrypt', '-in', 'pkcs1.pem', '-outform', 'DER', '-out', 'pkcs8.der');
    run('openssl', 'rsa', '-traditional', '-in', 'pkcs1.pem', '-outform', 'DER', '-out', 'pkcs1.der');
    for (const file of ['pkcs1.pem', 'pkcs8.pem', 'pkcs8.der', 'pkcs1.der']) expectPair(read(file), record, 'rsa');
    run('openssl', 'rsa', '-traditional', '-aes128', '-passout', 'pass:secret', '-in', 'pkcs1.pem', '-out', 'old.pem');
    run('openssl', 'pkcs8', '-topk8', '-passout', 'pass:secret', '-in', 'pkcs1.pem', '-out', 'new.pem');
    for (const file of ['old.pem', 'new.pem']) {
      expect(importPrivateKey(read(file))).toMatchObject({ ok: false, error: { kind: 'encrypted' } });
    }
  });

  test('a certificate beside its key, an EC key', () => {
    run(
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      '/CN=x',
      '-keyout',
      'key.pem',
      '-out',
      'cert.pem',
    );
    expect(importPrivateKey(read('cert.pem'))).toMatchObject({ ok: false, error: { kind: 'certificate' } });
    expect(importPrivateKey(Buffer.concat([read('cert.pem'), read('key.pem')]))).toMatchObject({ ok: true });
    run('openssl', 'x509', '-in', 'cert.pem', '-outform', 'DER', '-out', 'cert.der');
    expect(importPrivateKey(read('cert.der'))).toMatchObject({ ok: false, error: { kind: 'certificate' } });
    run('openssl', 'ecparam', '-name', 'prime256v1', '-genkey', '-out', 'ec.pem');
    expect(importPrivateKey(read('ec.pem'))).toMatchObject({ ok: false, error: { kind: 'unsupported-algorithm' } });
  });
});

describe.skipIf(!need('rspamadm', 'rspamd'))('rspamadm', () => {
  test.each(['rsa', 'ed25519'] as const)('%s', (type) => {
    const output = run('rspamadm', 'dkim_keygen', '-t', type, '-b', '2048', '-d', 'example.com', '-s', 'x');
    const start = output.indexOf('x._domainkey');
    expectPair(output.slice(0, start), joined(output.slice(start)), type);
  });
});

describe.skipIf(!need('opendkim-genkey', 'opendkim-tools'))('opendkim-genkey', () => {
  test('RSA', () => {
    run('opendkim-genkey', '-b', '2048', '-d', 'example.com', '-s', 'odk');
    expectPair(read('odk.private'), joined(read('odk.txt').toString()), 'rsa');
  });
});

describe.skipIf(!haveDkimpy() || !need('/usr/bin/dknewkey', 'python3-dkim'))('dknewkey', () => {
  test.each(['rsa', 'ed25519'] as const)('%s', (type) => {
    run('/usr/bin/python3', '/usr/bin/dknewkey', '--ktype', type, type);
    expectPair(read(`${type}.key`), read(`${type}.dns`).toString().trim(), type);
  });
});
