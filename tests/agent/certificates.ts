/** Certificates for the loopback address, made by OpenSSL: an authority, servers and clients of it, expired ones, strangers. */
import { writeFileSync } from 'node:fs';
import { runOk } from '../support/processes.ts';
import type { TempDir } from '../support/temp.ts';

export interface Pair {
  /** Paths, PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Pair {
  issue(name: string, options?: { readonly days?: number }): Promise<Pair>;
}

const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Signed by itself. */
export async function selfSigned(dir: TempDir, name: string): Promise<Pair> {
  const pair = { cert: dir.join(`${name}.pem`), key: dir.join(`${name}.key`) };
  const names = ['-addext', `subjectAltName=DNS:${name},IP:127.0.0.1`];
  await runOk('openssl', [
    'req',
    '-x509',
    ...ec,
    '-keyout',
    pair.key,
    '-out',
    pair.cert,
    '-days',
    '30',
    '-subj',
    `/CN=${name}`,
    ...names,
  ]);
  return pair;
}

export async function authority(dir: TempDir, name: string): Promise<Authority> {
  const own = { cert: dir.join(`${name}.pem`), key: dir.join(`${name}.key`) };
  await runOk('openssl', [
    'req',
    '-x509',
    ...ec,
    '-keyout',
    own.key,
    '-out',
    own.cert,
    '-days',
    '30',
    '-subj',
    `/CN=${name}`,
  ]);
  return {
    ...own,
    async issue(subject, { days = 30 } = {}) {
      const file = `${name}-${subject}${days}`;
      const pair = { cert: dir.join(`${file}.pem`), key: dir.join(`${file}.key`) };
      const request = dir.join(`${file}.csr`);
      const extensions = dir.join(`${file}.ext`);
      writeFileSync(extensions, `subjectAltName=DNS:${subject},IP:127.0.0.1\n`);
      await runOk('openssl', ['req', '-new', ...ec, '-keyout', pair.key, '-out', request, '-subj', `/CN=${subject}`]);
      const signing = [
        '-CA',
        own.cert,
        '-CAkey',
        own.key,
        '-CAcreateserial',
        '-days',
        String(days),
        '-extfile',
        extensions,
      ];
      await runOk('openssl', ['x509', '-req', '-in', request, ...signing, '-out', pair.cert]);
      return pair;
    },
  };
}
