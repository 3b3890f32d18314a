/** The settings of publishers, as they stand in `keyturn.yaml`. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { parseEndpoint } from '../lookup/endpoint.ts';
import { nameLabels } from '../wire/name.ts';
import type { TsigAlgorithm, TsigKey } from '../wire/tsig.ts';

const domainName = z
  .string()
  .min(1)
  .transform((text) => text.toLowerCase().replace(/\.$/, ''))
  .refine((text) => passes(() => nameLabels(text)), { error: 'expected a domain name such as example.com' });

const server = z.string().refine((text) => passes(() => parseEndpoint(text)), {
  error: 'expected a server such as 192.0.2.1, [2001:db8::1]:53 or ns1.example.net:5300',
});

const key = z
  .strictObject({
    /** As on the server, where it names the secret. */
    name: domainName,
    algorithm: z.enum(['hmac-sha256', 'hmac-sha384', 'hmac-sha512']).default('hmac-sha256'),
    /** Base64. */
    secret: z.string().optional(),
    /** A file with the secret in base64, or a key file as tsig-keygen and keymgr write it. */
    secretFile: z.string().optional(),
  })
  .refine((value) => (value.secret === undefined) !== (value.secretFile === undefined), {
    error: 'expected exactly one of secret and secretFile',
  });

const common = {
  name: z.string().min(1),
  /** The zones that it writes; without any, whatever no other publisher claims. */
  zones: z.array(domainName).default([]),
};

/** One entry of `publishers`. */
export const publisherConfig = z.discriminatedUnion('kind', [
  z.strictObject({ ...common, kind: z.literal('builtin') }),
  z.strictObject({ ...common, kind: z.literal('manual') }),
  z.strictObject({
    ...common,
    kind: z.literal('rfc2136'),
    /** Primaries, tried in order. */
    servers: z.array(server).min(1),
    /** The port of servers that are written without one. */
    port: z.int().min(1).max(65_535).default(53),
    zone: domainName.optional(),
    key,
    /** Milliseconds for each exchange with a server. */
    timeout: z.int().positive().default(5000),
  }),
]);

export interface TsigKeySettings {
  readonly name: string;
  readonly algorithm: TsigAlgorithm;
  readonly secret?: string | undefined;
  readonly secretFile?: string | undefined;
}

/**
 * The key with its secret read and decoded.
 * Throws an Error that says what is wrong with it, and never shows any of it.
 */
export function loadTsigKey(
  settings: TsigKeySettings,
  readFile: (path: string) => string = (path) => readFileSync(path, 'utf8'),
): TsigKey {
  const { name, algorithm, secret, secretFile } = settings;
  const doing = `Loading the TSIG key "${name}"`;
  if (secret !== undefined) return { name, algorithm, secret: decodeSecret(secret, doing) };
  if (secretFile === undefined) throw new Error(`${doing}: it has neither secret nor secretFile.`);
  let text: string;
  try {
    text = readFile(secretFile);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new Error(`${doing}: ${secretFile} cannot be read (${code}). Check its path and permissions.`);
  }
  return { name, algorithm, secret: decodeSecret(secretOf(text), `${doing} from ${secretFile}`) };
}

/** `secret "…";` of a named.conf key block, `secret: …` of a knot.conf one, or the text itself. */
function secretOf(text: string): string {
  return /\bsecret\s*:?\s*"?([A-Za-z0-9+/=]+)"?/.exec(text)?.[1] ?? text;
}

function decodeSecret(text: string, doing: string): Uint8Array {
  const base64 = text.replace(/\s/g, '');
  if (base64 === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
    throw new Error(`${doing}: the secret is not base64. Copy it as the server's configuration shows it.`);
  }
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

function passes(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch {
    return false;
  }
}
