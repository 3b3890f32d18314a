/** Transaction signatures (RFC 8945): one message, an answer bound to its request, or a stream of answers. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { WireError } from './error.ts';
import { nameKey, sameName } from './name.ts';
import type { TsigData } from './rdata.ts';
import { type LocatedTsig, locateTsig, writeTsigRecord } from './tsig-record.ts';
import { Writer } from './writer.ts';

export type TsigAlgorithm = 'hmac-sha256' | 'hmac-sha384' | 'hmac-sha512';

const hashes: Readonly<Record<TsigAlgorithm, { readonly hash: string; readonly bytes: number }>> = {
  'hmac-sha256': { hash: 'sha256', bytes: 32 },
  'hmac-sha384': { hash: 'sha384', bytes: 48 },
  'hmac-sha512': { hash: 'sha512', bytes: 64 },
};

export interface TsigKey {
  readonly name: string;
  readonly algorithm: TsigAlgorithm;
  readonly secret: Uint8Array;
}

/** Errors of a TSIG record (RFC 8945 §3). */
export const tsigErrors = { BADSIG: 16, BADKEY: 17, BADTIME: 18, BADTRUNC: 22 } as const;
export type TsigError = keyof typeof tsigErrors;

export interface SignOptions {
  /** Epoch seconds. */
  readonly time: number;
  /** Seconds of permitted clock difference; 300 as RFC 8945 §10 advises. */
  readonly fudge?: number;
  /** The MAC of the request that this answers; in a stream, of the message before. */
  readonly requestMac?: Uint8Array;
  /** The id that the message had when signed first; the message's own where left out. */
  readonly originalId?: number;
  readonly error?: TsigError;
  /** For BADTIME: see {@link badTimeData}. */
  readonly otherData?: Uint8Array;
  /** For the second and later messages of a stream (RFC 8945 §5.3.1). */
  readonly timersOnly?: boolean;
  /** Messages of the stream since the last signed one, without signatures of their own. */
  readonly unsigned?: readonly Uint8Array[];
}

export interface SignedMessage {
  readonly bytes: Uint8Array;
  /** To be given as `requestMac` when what follows is signed or verified. */
  readonly mac: Uint8Array;
}

export interface VerifyOptions {
  /** Epoch seconds. */
  readonly now: number;
  readonly requestMac?: Uint8Array;
  readonly timersOnly?: boolean;
  readonly unsigned?: readonly Uint8Array[];
}

export type Verification =
  /** Signed by `key`. `reported` is the error that the peer tells of, such as 18 (BADTIME) in an otherwise good answer. */
  | {
      readonly status: 'ok';
      readonly key: TsigKey;
      readonly tsig: TsigData;
      readonly mac: Uint8Array;
      readonly reported: number;
    }
  /** There is no TSIG record. */
  | { readonly status: 'missing' }
  /** There is one that breaks the rules: not last, class or TTL wrong, MAC of an impossible length (answer FORMERR). */
  | { readonly status: 'malformed'; readonly message: string }
  /** Not to be trusted; `tsig.error` tells what the peer itself reports, unauthenticated. */
  | { readonly status: TsigError; readonly keyName: string; readonly tsig: TsigData; readonly key: TsigKey | null };

/** Appends a TSIG record. BADSIG and BADKEY are told without a MAC (RFC 8945 §5.3.2). Throws WireError for a message that is not one. */
export function signTsig(bytes: Uint8Array, key: TsigKey, options: SignOptions): SignedMessage {
  if (bytes.length < 12) throw new WireError('truncated', 'what is to be signed has no header');
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const data: TsigData = {
    kind: 'TSIG',
    algorithm: key.algorithm,
    timeSigned: options.time,
    fudge: options.fudge ?? 300,
    mac: new Uint8Array(),
    originalId: options.originalId ?? header.readUInt16BE(0),
    error: options.error === undefined ? 0 : tsigErrors[options.error],
    otherData: options.otherData ?? new Uint8Array(),
  };
  const withoutMac = options.error === 'BADSIG' || options.error === 'BADKEY';
  const mac = withoutMac ? new Uint8Array() : new Uint8Array(digest(bytes, key, data, options));
  return { bytes: appendTsig(bytes, key.name, { ...data, mac }), mac };
}

/** Checks a message's TSIG against the keys that may have made it. Never throws for whatever bytes arrive. */
export function verifyTsig(
  bytes: Uint8Array,
  keys: TsigKey | readonly TsigKey[],
  options: VerifyOptions,
): Verification {
  const located = locateTsig(bytes);
  if (located.kind !== 'tsig') {
    return located.kind === 'none' ? { status: 'missing' } : { status: 'malformed', message: located.message };
  }
  const { keyName, tsig } = located;
  const candidates: readonly TsigKey[] = 'secret' in keys ? [keys] : keys;
  const key = candidates.find((k) => sameName(k.name, keyName) && sameName(k.algorithm, tsig.algorithm)) ?? null;
  const failed = (status: TsigError): Verification => ({ status, keyName, tsig, key });
  if (key === null) return failed('BADKEY');
  if (tsig.mac.length === 0) return failed('BADSIG');

  // RFC 8945 §5.2.2.1: longer than the hash, or shorter than ten octets or half of it, is a format error.
  const full = hashes[key.algorithm].bytes;
  if (tsig.mac.length > full || tsig.mac.length < Math.max(10, full / 2)) {
    return { status: 'malformed', message: `a MAC of ${tsig.mac.length} bytes is impossible for ${key.algorithm}` };
  }
  const expected = digest(stripTsig(bytes, located), key, tsig, options).subarray(0, tsig.mac.length);
  if (!timingSafeEqual(expected, tsig.mac)) return failed('BADSIG');
  if (Math.abs(options.now - tsig.timeSigned) > tsig.fudge) return failed('BADTIME');
  if (tsig.mac.length < full) return failed('BADTRUNC');
  return { status: 'ok', key, tsig, mac: tsig.mac, reported: tsig.error };
}

/**
 * The TSIG of an answer that refuses a request for its TSIG (RFC 8945 §5.3.2): BADKEY and BADSIG bare, BADTIME and BADTRUNC signed.
 * `bytes` is the encoded answer (RCODE NOTAUTH); `now` epoch seconds.
 */
export function answerTsigError(
  bytes: Uint8Array,
  failure: Extract<Verification, { readonly status: TsigError }>,
  now: number,
): Uint8Array {
  const { keyName, tsig, key, status } = failure;
  if (key === null || status === 'BADKEY' || status === 'BADSIG') {
    const { algorithm, originalId, fudge } = tsig;
    const bare = { timeSigned: now, fudge, mac: new Uint8Array(), originalId, otherData: new Uint8Array() };
    return appendTsig(bytes, keyName, { kind: 'TSIG', algorithm, ...bare, error: tsigErrors[status] });
  }
  // A BADTIME answer repeats the request's time, so that the client can verify it, and tells the server's own.
  const { bytes: signed } = signTsig(bytes, key, {
    time: status === 'BADTIME' ? tsig.timeSigned : now,
    fudge: tsig.fudge,
    requestMac: tsig.mac,
    originalId: tsig.originalId,
    error: status,
    ...(status === 'BADTIME' ? { otherData: badTimeData(now) } : {}),
  });
  return signed;
}

/** The server's time (epoch seconds) as a BADTIME answer carries it. */
export function badTimeData(now: number): Uint8Array {
  const writer = new Writer();
  writer.u48(now);
  return writer.finish();
}

/** The server's time of a BADTIME answer, epoch seconds; null where it is not told. */
export function badTimeOf(tsig: TsigData): number | null {
  const { otherData } = tsig;
  return otherData.length === 6 ? Buffer.from(otherData).readUIntBE(0, 6) : null;
}

/** The bytes that {@link signTsig} adds to a message. */
export function tsigSize(key: TsigKey): number {
  const header = new Uint8Array(12);
  return signTsig(header, key, { time: 0 }).bytes.length - header.length;
}

function digest(
  bytes: Uint8Array,
  key: TsigKey,
  data: TsigData,
  options: Pick<SignOptions, 'requestMac' | 'timersOnly' | 'unsigned'>,
): Buffer {
  const hmac = createHmac(hashes[key.algorithm].hash, key.secret);
  const { requestMac } = options;
  if (requestMac !== undefined) {
    hmac.update(Uint8Array.of(requestMac.length >> 8, requestMac.length & 0xff)).update(requestMac);
  }
  for (const message of options.unsigned ?? []) hmac.update(message);
  // The id as it was when signed first: a forwarder may have changed it (RFC 8945 §5.3).
  hmac.update(Uint8Array.of(data.originalId >> 8, data.originalId & 0xff)).update(bytes.subarray(2));
  const variables = new Writer();
  if (options.timersOnly !== true) {
    variables.name(nameKey(key.name), false);
    variables.u16(255);
    variables.u32(0);
    variables.name(key.algorithm, false);
  }
  variables.u48(data.timeSigned);
  variables.u16(data.fudge);
  if (options.timersOnly !== true) {
    variables.u16(data.error);
    variables.lengthPrefixed(() => variables.raw(data.otherData));
  }
  return hmac.update(variables.finish()).digest();
}

function stripTsig(bytes: Uint8Array, located: LocatedTsig): Uint8Array {
  const stripped = Buffer.from(bytes.subarray(0, located.offset));
  stripped.writeUInt16BE(stripped.readUInt16BE(10) - 1, 10);
  return stripped;
}

function appendTsig(bytes: Uint8Array, keyName: string, data: TsigData): Uint8Array {
  const writer = new Writer();
  writer.raw(bytes);
  writeTsigRecord(writer, keyName, data);
  const signed = Buffer.from(writer.finish());
  signed.writeUInt16BE(signed.readUInt16BE(10) + 1, 10);
  return new Uint8Array(signed);
}
