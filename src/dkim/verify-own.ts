/** A signer's test of itself. Not a verifier: it asks no DNS and judges no stranger's mail. */
import { hash, type KeyObject, verify } from 'node:crypto';
import { decodeBase64 } from './base64.ts';
import type { BodyHashes } from './body-hash.ts';
import { appendHeader, canonicalHeaderRoom } from './header-canonicalization.ts';
import { parseTagList, withoutFolds } from './tag-list.ts';
import type { Canonicalization, HeaderField } from './types.ts';

export type OwnSignatureVerdict =
  | { readonly kind: 'valid' }
  | {
      readonly kind: 'invalid';
      readonly reason: 'not-a-signature' | 'unsupported' | 'no-body-hash' | 'other-body' | 'bad-signature';
    };

/**
 * Whether a field (`DKIM-Signature: …`, folds as CRLF or LF) is a signature of this message by this key, worked out from
 * the field alone by RFC 6376 section 6.1.3 and none of the signer's code but canonicalization. Knows what we write:
 * SHA-256, `h=` with From, no `l=`; times are not looked at.
 */
export function verifyOwn(
  headers: readonly HeaderField[],
  body: BodyHashes,
  field: string,
  publicKey: KeyObject,
): OwnSignatureVerdict {
  const colon = field.indexOf(':');
  const list = parseTagList(field.slice(colon + 1));
  if (field.slice(0, colon).toLowerCase() !== 'dkim-signature' || !list.ok) return invalid('not-a-signature');
  const tags = new Map(list.tags.map(({ name, value }) => [name, value]));
  const wanted = publicKey.asymmetricKeyType === 'rsa' ? 'rsa-sha256' : 'ed25519-sha256';
  if (tags.get('v') !== '1' || tags.get('a') !== wanted || tags.has('l')) return invalid('unsupported');
  const canonicalization = readCanonicalization(tags.get('c'));
  const signature = decodeBase64(withoutFolds(tags.get('b') ?? ''));
  if (canonicalization === undefined || signature === undefined) return invalid('not-a-signature');

  const bodyHash = body[canonicalization.body];
  if (bodyHash === undefined) return invalid('no-body-hash');
  if (bodyHash !== withoutFolds(tags.get('bh') ?? '')) return invalid('other-body');

  const names = withoutFolds(tags.get('h') ?? '')
    .toLowerCase()
    .split(':');
  if (!names.includes('from')) return invalid('not-a-signature');
  const input = headerInput(headers, names, field, canonicalization.header);
  const good =
    wanted === 'rsa-sha256'
      ? verify('sha256', input, publicKey, signature)
      : verify(null, hash('sha256', input, 'buffer'), publicKey, signature);
  return good ? { kind: 'valid' } : invalid('bad-signature');
}

/** What was signed: the fields that `h=` names, each name taking the last one left, then the field with an empty `b=`. */
function headerInput(
  headers: readonly HeaderField[],
  names: readonly string[],
  field: string,
  canonicalization: Canonicalization,
): Buffer {
  const byName = new Map<string, HeaderField[]>();
  for (const header of headers) {
    const name = header.name.trimEnd().toLowerCase();
    const same = byName.get(name);
    if (same === undefined) byName.set(name, [header]);
    else same.push(header);
  }
  const pieces: Uint8Array[] = [];
  for (const name of names) {
    const header = byName.get(name)?.pop();
    if (header !== undefined) pieces.push(canonical(header.raw, canonicalization));
  }
  const own = canonical(Buffer.from(withoutSignature(field), 'latin1'), canonicalization);
  // The field itself is hashed without its final CRLF (section 3.7).
  pieces.push(own.subarray(0, -2));
  return Buffer.concat(pieces);
}

/** The value of `b=` and the white space around it go; `bh=` and other tags that contain a b stay (section 3.7). */
function withoutSignature(field: string): string {
  const specs = field.split(';');
  return specs
    .map((spec, index) => {
      const start = index === 0 ? spec.indexOf(':') + 1 : 0;
      const equals = spec.indexOf('=', start);
      return spec.slice(start, equals).trim() === 'b' ? spec.slice(0, equals + 1) : spec;
    })
    .join(';');
}

function canonical(raw: Uint8Array, canonicalization: Canonicalization): Uint8Array {
  const output = new Uint8Array(canonicalHeaderRoom(raw.length));
  return output.subarray(0, appendHeader(raw, canonicalization, output, 0));
}

function readCanonicalization(
  value: string | undefined,
): { readonly header: Canonicalization; readonly body: Canonicalization } | undefined {
  // Section 3.5: both are simple when not said, and the body is when only the header's is.
  const [header = 'simple', body = 'simple', ...rest] = (value ?? 'simple/simple').split('/');
  return rest.length === 0 && isCanonicalization(header) && isCanonicalization(body) ? { header, body } : undefined;
}

function isCanonicalization(text: string): text is Canonicalization {
  return text === 'simple' || text === 'relaxed';
}

function invalid(reason: Extract<OwnSignatureVerdict, { kind: 'invalid' }>['reason']): OwnSignatureVerdict {
  return { kind: 'invalid', reason };
}
