/** Keyrings in a JSON file, for a milter that runs alone: `{"generation":1,"domains":{"example.com":{"keys":[…]}}}`. */
import { createHash, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { importPrivateKey } from '../dkim/import-key.ts';
import type { Keyring, KeyringKey } from './keyring.ts';

const keySchema = z.strictObject({
  selector: z
    .string()
    .regex(/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/i, 'expected a selector such as s1 or 2026-11.mail'),
  algorithm: z.enum(['rsa-sha256', 'ed25519-sha256']),
  /** PEM (PKCS#8 or PKCS#1), base64 DER, or an Ed25519 seed in base64. */
  privateKey: z.string(),
});

const domainSchema = z
  .strictObject({
    /** Of the stream "default". */
    keys: z.array(keySchema).default([]),
    /** More streams, by name. */
    streams: z.record(z.string().min(1), z.array(keySchema)).default({}),
    /** False: mail passes while there is no key. Set it only for a domain that has never been signed. */
    mustSign: z.boolean().default(true),
  })
  .refine(({ streams, keys }) => !('default' in streams && keys.length > 0), {
    error: 'has both "keys" and a stream "default"; they are the same: keep one',
  });

const fileSchema = z.strictObject({
  /** Grows with every change of the file. */
  generation: z.int().min(0),
  domains: z.record(z.string(), domainSchema),
});

export interface KeyringFile {
  readonly generation: number;
  readonly keyrings: readonly Keyring[];
  /** Weak keys, for the log. */
  readonly warnings: readonly string[];
}

export type KeyringFileResult =
  | ({ readonly ok: true } & KeyringFile)
  /** Each problem names its place in the file; none holds anything of a key. */
  | { readonly ok: false; readonly problems: readonly string[] };

/** Keys by a hash of their text: parsing a private key costs more than signing with it, and most stay from one file to the next. */
export type ParsedKeys = Map<string, KeyObject>;

const domainName = /^(?=.{1,253}$)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?!-)[a-z0-9_-]{1,63}(?<!-)$/i;

/**
 * Reads the text of a keyring file. `parsed` are the keys of the last reading; it is brought up to date when this succeeds.
 * Never throws for anything that stands in the file.
 */
export function readKeyringFile(text: string, parsed: ParsedKeys = new Map()): KeyringFileResult {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { ok: false, problems: [`is not JSON${positionOf(error, text)}`] };
  }
  const result = fileSchema.safeParse(json);
  if (!result.success) {
    return { ok: false, problems: result.error.issues.map(({ path, message }) => `${placeOf(path)}: ${message}`) };
  }
  const problems: string[] = [];
  const warnings: string[] = [];
  const next: ParsedKeys = new Map();
  const { generation, domains } = result.data;

  function readKey(key: z.output<typeof keySchema>, place: string): KeyringKey[] {
    const digest = createHash('sha256').update(key.privateKey).digest('base64');
    let privateKey = next.get(digest) ?? parsed.get(digest);
    if (privateKey === undefined) {
      const imported = importPrivateKey(key.privateKey);
      if (!imported.ok) {
        problems.push(`${place}.privateKey: ${imported.error.message}`);
        return [];
      }
      for (const { message } of imported.warnings) warnings.push(`${place}: ${message}`);
      privateKey = imported.pair.privateKey;
    }
    next.set(digest, privateKey);
    const algorithm = privateKey.asymmetricKeyType === 'rsa' ? 'rsa-sha256' : 'ed25519-sha256';
    if (algorithm !== key.algorithm) {
      problems.push(`${place}: its algorithm is ${key.algorithm}, but the key is one for ${algorithm}`);
    }
    return [{ selector: key.selector.toLowerCase(), algorithm, privateKey }];
  }

  const keyrings = new Map<string, Keyring>();
  for (const [written, { keys, streams, mustSign }] of Object.entries(domains)) {
    const domain = written.toLowerCase().replace(/\.$/, '');
    const place = placeOf(['domains', written]);
    if (!domainName.test(domain)) problems.push(`${place}: expected a domain name in ASCII form, such as example.com`);
    if (keyrings.has(domain)) problems.push(`${place}: ${domain} stands there twice`);
    const all: [string, KeyringKey[]][] = [
      ['default', keys.flatMap((key, index) => readKey(key, `${place}.keys[${index}]`))],
    ];
    for (const [stream, ofStream] of Object.entries(streams)) {
      const read = ofStream.flatMap((key, index) =>
        readKey(key, `${placeOf(['domains', written, 'streams', stream])}[${index}]`),
      );
      all.push([stream, read]);
    }
    keyrings.set(domain, { domain, generation, mustSign, streams: Object.fromEntries(all) });
  }
  if (problems.length > 0) return { ok: false, problems };
  parsed.clear();
  for (const [digest, key] of next) parsed.set(digest, key);
  return { ok: true, generation, keyrings: [...keyrings.values()], warnings };
}

/** `domains["example.com"].keys[0]`. */
function placeOf(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the file';
  return path
    .map((part, index) => {
      if (typeof part === 'number') return `[${part}]`;
      const name = String(part);
      if (!/^[a-z]\w*$/i.test(name)) return `[${JSON.stringify(name.slice(0, 80))}]`;
      return index === 0 ? name : `.${name}`;
    })
    .join('');
}

/** The parser's own message quotes the text around the error, which may be a key: only the place is taken from it. */
function positionOf(error: unknown, text: string): string {
  const position = /at position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1];
  if (position === undefined) return '';
  const before = text.slice(0, Number(position)).split('\n');
  return ` (line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1})`;
}
