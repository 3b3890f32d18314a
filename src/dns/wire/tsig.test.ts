import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyQuery, anyUpdate } from '../../../tests/dns/wire-arbitraries.ts';
import { createMessage, decodeMessage, encodeMessage } from './message.ts';
import {
  answerTsigError,
  badTimeOf,
  signTsig,
  type TsigAlgorithm,
  type TsigError,
  type TsigKey,
  tsigErrors,
  tsigSize,
  verifyTsig,
} from './tsig.ts';
import { locateTsig } from './tsig-record.ts';
import { createTsigStreamVerifier } from './tsig-stream.ts';

const time = 1_800_000_000;
const anyMessage = fc.oneof(anyQuery, anyUpdate).map((message) => encodeMessage(message));
const newKey = (algorithm: TsigAlgorithm = 'hmac-sha256', name = 'Key.Example'): TsigKey => ({
  name,
  algorithm,
  secret: randomBytes(32),
});
const key = newKey();
const query = encodeMessage(createMessage({ id: 7, questions: [{ name: 'example.com', type: 'TXT', class: 'IN' }] }));

describe.each(['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const)('TSIG with %s', (algorithm) => {
  const mine = newKey(algorithm);

  it('holds for the message that was signed, under its key alone', () => {
    fc.assert(
      fc.property(anyMessage, (bytes) => {
        const signed = signTsig(bytes, mine, { time });
        const other = { ...mine, secret: randomBytes(32) };
        expect(verifyTsig(signed.bytes, [newKey(algorithm, 'other'), mine], { now: time })).toMatchObject({
          status: 'ok',
          key: mine,
          mac: signed.mac,
          reported: 0,
        });
        expect(verifyTsig(signed.bytes, other, { now: time }).status).toBe('BADSIG');
        expect(signed.bytes.length - bytes.length).toBe(tsigSize(mine));
        expect(decodeMessage(signed.bytes).additionals.at(-1)?.type).toBe('TSIG');
      }),
    );
  });

  it('breaks when any signed bit changes', () => {
    fc.assert(
      fc.property(anyMessage, fc.nat(), fc.nat(7), (bytes, at, bit) => {
        const signed = signTsig(bytes, mine, { time }).bytes;
        // All but the id, which forwarders may change and which is signed in its original form.
        const place = 2 + (at % (bytes.length - 2));
        signed[place] = (signed[place] ?? 0) ^ (1 << bit);
        expect(verifyTsig(signed, mine, { now: time }).status).not.toBe('ok');
      }),
      { numRuns: 500 },
    );
  });

  it('refuses a MAC that is cut, and one that is impossible', () => {
    const signed = decodeMessage(signTsig(query, mine, { time }).bytes);
    const cutTo = (length: number): string => {
      const additionals = signed.additionals.map((record) =>
        record.data.kind === 'TSIG'
          ? { ...record, data: { ...record.data, mac: record.data.mac.slice(0, length) } }
          : record,
      );
      return verifyTsig(encodeMessage({ ...signed, additionals }), mine, { now: time }).status;
    };
    const full = mine.algorithm === 'hmac-sha256' ? 32 : mine.algorithm === 'hmac-sha384' ? 48 : 64;
    expect([full, full - 1, full / 2, full / 2 - 1, 0].map(cutTo)).toEqual([
      'ok',
      'BADTRUNC',
      'BADTRUNC',
      'malformed',
      'BADSIG',
    ]);
  });
});

describe('signTsig', () => {
  it('signs no less than a header', () => {
    expect(() => signTsig(new Uint8Array(11), key, { time })).toThrow(expect.objectContaining({ code: 'truncated' }));
  });

  it('means the same key by each spelling of its name', () => {
    const spelled = signTsig(query, { ...key, name: '\\075ey.EXAMPLE' }, { time }).bytes;
    expect(verifyTsig(spelled, key, { now: time }).status).toBe('ok');
  });
});

describe('verifyTsig', () => {
  it('takes clocks that differ by the fudge, and no more', () => {
    const signed = signTsig(query, key, { time, fudge: 60 }).bytes;
    const at = (now: number): string => verifyTsig(signed, key, { now }).status;
    expect([-61, -60, 60, 61].map((difference) => at(time + difference))).toEqual(['BADTIME', 'ok', 'ok', 'BADTIME']);
  });

  it('finds the key by name without case, and by algorithm', () => {
    const signed = signTsig(query, key, { time }).bytes;
    const status = (keys: TsigKey | TsigKey[]): string => verifyTsig(signed, keys, { now: time }).status;
    expect(status({ ...key, name: 'KEY.example.' })).toBe('ok');
    expect(status({ ...key, algorithm: 'hmac-sha512' })).toBe('BADKEY');
    expect(status([])).toBe('BADKEY');
  });

  it('holds after a forwarder has changed the id', () => {
    const signed = signTsig(query, key, { time }).bytes;
    signed.set([0xab, 0xcd]);
    expect(verifyTsig(signed, key, { now: time }).status).toBe('ok');
  });

  it('tells a missing signature from a misplaced one', () => {
    expect(verifyTsig(query, key, { now: time })).toEqual({ status: 'missing' });
    const twice = signTsig(signTsig(query, key, { time }).bytes, key, { time }).bytes;
    expect(verifyTsig(twice, key, { now: time }).status).toBe('malformed');
    const signed = Buffer.from(signTsig(query, key, { time }).bytes);
    expect(verifyTsig(Buffer.concat([signed, Buffer.of(0)]), key, { now: time }).status).toBe('malformed');
    // The record counted to the answers instead of the additional section.
    signed.writeUInt16BE(1, 6);
    signed.writeUInt16BE(0, 10);
    expect(verifyTsig(signed, key, { now: time }).status).toBe('malformed');
  });

  it('never throws for whatever bytes arrive', () => {
    const change = fc.record({ at: fc.nat(2000), to: fc.nat(255) });
    fc.assert(
      fc.property(anyMessage, fc.array(change, { maxLength: 4 }), fc.nat(2000), (bytes, changes, keep) => {
        const signed = signTsig(bytes, key, { time }).bytes;
        for (const { at, to } of changes) signed[at % signed.length] = to;
        const cut = signed.subarray(0, keep % (signed.length + 1));
        for (const hostile of [signed, cut])
          expect(verifyTsig(hostile, key, { now: time }).status).toBeTypeOf('string');
      }),
      { numRuns: 1000 },
    );
    expect(locateTsig(new Uint8Array()).kind).toBe('malformed');
  });
});

describe('answerTsigError', () => {
  const refusal = encodeMessage(createMessage({ id: 7, rcode: 'NOTAUTH', flags: { qr: true } }));
  const answerTo = (signed: Uint8Array, keys: TsigKey[], now: number): { bytes: Uint8Array; status: TsigError } => {
    const failure = verifyTsig(signed, keys, { now });
    if (!(failure.status in tsigErrors) || !('tsig' in failure) || failure.status === 'ok') {
      throw new Error(`expected a failure, not ${failure.status}`);
    }
    return { bytes: answerTsigError(refusal, failure, now), status: failure.status };
  };

  it('tells BADTIME under the key, with the time of the server', () => {
    const request = signTsig(query, key, { time });
    const { bytes, status } = answerTo(request.bytes, [key], time + 1000);
    expect(status).toBe('BADTIME');
    const seen = verifyTsig(bytes, key, { now: time, requestMac: request.mac });
    expect(seen).toMatchObject({ status: 'ok', reported: tsigErrors.BADTIME });
    expect(seen.status === 'ok' && badTimeOf(seen.tsig)).toBe(time + 1000);
  });

  it.each([
    ['BADKEY', [newKey('hmac-sha256', 'another')]],
    ['BADSIG', [{ ...key, secret: randomBytes(32) }]],
  ] as const)('tells %s without a MAC, so that nobody can mistake it for a signed answer', (expected, keys) => {
    const request = signTsig(query, key, { time });
    const { bytes, status } = answerTo(request.bytes, [...keys], time);
    expect(status).toBe(expected);
    const seen = verifyTsig(bytes, key, { now: time, requestMac: request.mac });
    expect(seen).toMatchObject({ status: 'BADSIG', tsig: { error: tsigErrors[expected], mac: new Uint8Array() } });
  });
});

describe('a signed stream', () => {
  const part = (id: number): Uint8Array => encodeMessage(createMessage({ id, flags: { qr: true } }));
  const request = signTsig(query, key, { time });

  /** Messages 1 to `count`, those in `signedAt` signed. */
  const stream = (count: number, signedAt: (i: number) => boolean): Uint8Array[] => {
    let mac = request.mac;
    let unsigned: Uint8Array[] = [];
    return Array.from({ length: count }, (_, i) => {
      const bytes = part(i);
      if (!signedAt(i)) {
        unsigned.push(bytes);
        return bytes;
      }
      const signed = signTsig(bytes, key, { time, requestMac: mac, timersOnly: i > 0, unsigned });
      mac = signed.mac;
      unsigned = [];
      return signed.bytes;
    });
  };
  const check = (messages: readonly Uint8Array[]): { readonly statuses: string[]; readonly complete: boolean } => {
    const verifier = createTsigStreamVerifier(key, request.mac);
    return { statuses: messages.map((bytes) => verifier.next(bytes, time).status), complete: verifier.complete() };
  };

  it('holds with every message signed, and with some', () => {
    expect(check(stream(4, () => true))).toEqual({ statuses: Array(4).fill('ok'), complete: true });
    expect(check(stream(5, (i) => i % 2 === 0))).toEqual({
      statuses: ['ok', 'unsigned', 'ok', 'unsigned', 'ok'],
      complete: true,
    });
  });

  it('breaks when a message is left out, put in, or moved', () => {
    const good = stream(6, (i) => i % 2 === 0);
    const without = good.filter((_, i) => i !== 1);
    expect(check(without).statuses).toContain('BADSIG');
    expect(check(good.toSpliced(1, 0, part(99))).statuses).toContain('BADSIG');
    expect(check(good.toSpliced(2, 1)).statuses).toContain('BADSIG');
  });

  it('must begin and end signed, and be signed at least every hundredth message', () => {
    expect(check(stream(2, (i) => i > 0)).statuses[0]).toBe('missing');
    expect(check(stream(2, (i) => i === 0)).complete).toBe(false);
    const sparse = check(stream(102, (i) => i === 0));
    expect(sparse.statuses.slice(99)).toEqual(['unsigned', 'missing', 'missing']);
  });
});
