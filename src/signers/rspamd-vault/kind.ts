/** `kind: rspamd-vault`: settings, and what they are checked for. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { z } from 'zod';
import { secret } from '../../settings/secret.ts';
import { endpoint, hostName, name } from '../../settings/values.ts';
import { defineSignerKind } from '../kind.ts';
import { parseEndpoint } from '../milter/endpoint.ts';
import { createRspamdProbe, rspamdTest } from '../rspamd-test.ts';
import type { Reader } from './readers.ts';
import { createVaultSigner } from './signer.ts';

const domainPattern = z.union([
  z.string().regex(/^\*(?:\.[a-z0-9._-]+)?$/, 'expected a domain, *.example.com, or *'),
  hostName,
]);

const settings = z.strictObject({
  listen: z.array(endpoint).min(1).default(['inet:127.0.0.1:8210']),
  socketMode: z
    .string()
    .regex(/^0?[0-7]{3}$/, 'expected an octal mode such as 660')
    .default('660'),
  socketGroup: z.string().min(1).optional(),
  /** Opens every domain that this signer signs. */
  token: secret.optional(),
  /** More tokens, each for some of the domains. */
  readers: z.array(z.strictObject({ token: secret, domains: z.array(domainPattern).min(1) })).default([]),
  /** Which stream is asked for by which path (`vault_path`). */
  paths: z
    .record(z.string().regex(/^[a-z0-9._-]+(?:\/[a-z0-9._-]+)*$/i, 'expected a path such as dkim or secret/dkim'), name)
    .refine((paths) => Object.keys(paths).length > 0, { error: 'expected one path at least' })
    .default({ dkim: 'default' }),
  tls: z.strictObject({ cert: z.string().min(1), key: z.string().min(1) }).optional(),
  /** Listen without TLS where others than this machine can reach it. */
  plaintext: z.boolean().default(false),
  /** How Ed25519 keys are given to rspamd: `pem` needs 3.13.2 or later. */
  ed25519: z.enum(['seed', 'pem']).default('seed'),
  test: rspamdTest,
});

export const rspamdVault = defineSignerKind({
  kind: 'rspamd-vault',
  settings,
  reach: 'instance',
  create(given, dependencies) {
    const { readSecret, path } = dependencies;
    const readers: Reader[] = given.readers.map(({ token, domains }) => ({ token: readSecret(token), domains }));
    if (given.token !== undefined) readers.unshift({ token: readSecret(given.token), domains: ['*'] });
    if (readers.length === 0) throw new Error('it has no token; set `token`, or `readers` with a token each');
    const exposed = given.listen.find(isExposed);
    if (exposed !== undefined && given.tls === undefined && !given.plaintext) {
      throw new Error(
        `private keys would cross the network in the clear by ${exposed}: set \`tls\`, or \`plaintext: true\` where the network is this machine's own (containers)`,
      );
    }
    const tls = given.tls === undefined ? null : { cert: read(path(given.tls.cert)), key: read(path(given.tls.key)) };
    return createVaultSigner(
      {
        listen: given.listen,
        socketMode: Number.parseInt(given.socketMode, 8),
        socketGroup: given.socketGroup,
        readers,
        paths: new Map(Object.entries(given.paths)),
        ed25519: given.ed25519,
        tls,
        probe: given.test === undefined ? null : createRspamdProbe(given.test, dependencies),
      },
      dependencies,
    );
  },
});

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Error(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function isExposed(listen: string): boolean {
  const where = parseEndpoint(listen);
  if (where.kind === 'unix') return false;
  return !(
    where.host === 'localhost' ||
    where.host === '::1' ||
    (isIP(where.host) === 4 && where.host.startsWith('127.'))
  );
}
