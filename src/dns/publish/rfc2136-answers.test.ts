import { describe, expect, it } from 'vitest';
import { createMessage, type Rcode } from '../wire/message.ts';
import { type Exchange, TransportError } from '../wire/transport.ts';
import type { TsigKey, Verification } from '../wire/tsig.ts';
import { updateFailure, updateOutcome } from './rfc2136-answers.ts';

const key: TsigKey = { name: 'updater', algorithm: 'hmac-sha256', secret: new Uint8Array(32).fill(65) };
const context = {
  name: 's1._domainkey.example.com',
  zone: 'example.com',
  server: 'ns1.example.net (192.0.2.1)',
  key,
  now: 1000,
};
const tsig = (error: number, otherData = new Uint8Array()): Extract<Verification, { status: 'ok' }>['tsig'] => ({
  kind: 'TSIG',
  algorithm: 'hmac-sha256',
  timeSigned: 1000,
  fudge: 300,
  mac: new Uint8Array(),
  originalId: 1,
  error,
  otherData,
});
const answer = (rcode: Rcode, reported = 0, otherData = new Uint8Array()): Exchange => ({
  message: createMessage({ rcode, flags: { qr: true } }),
  bytes: new Uint8Array(),
  transport: 'tcp',
  milliseconds: 1,
  verification: { status: 'ok', key, tsig: tsig(reported, otherData), mac: new Uint8Array(), reported },
});

describe('updateOutcome', () => {
  it.each<[Rcode, string]>([
    ['NOERROR', 'accepted'],
    ['YXDOMAIN', 'again'],
    ['YXRRSET', 'again'],
    ['NXDOMAIN', 'again'],
    ['NXRRSET', 'again'],
    ['REFUSED', 'refused'],
    ['NOTAUTH', 'refused'],
    ['NOTZONE', 'refused'],
    ['NOTIMP', 'refused'],
    ['FORMERR', 'refused'],
    ['SERVFAIL', 'failed'],
    [14, 'failed'],
  ])('%s means %s, and names server, record and zone', (rcode, kind) => {
    const outcome = updateOutcome(answer(rcode), context);
    expect(outcome.kind).toBe(kind);
    if (!('message' in outcome)) return;
    for (const part of [context.server, context.name, context.zone]) expect(outcome.message).toContain(part);
  });

  it('says how far the clocks are apart', () => {
    const outcome = updateOutcome(answer('NOTAUTH', 18, Uint8Array.of(0, 0, 0, 0, 0x0b, 0xb8)), context);
    expect(outcome).toMatchObject({ kind: 'refused', message: expect.stringContaining('differ by 2000 seconds') });
  });
});

describe('updateFailure', () => {
  const error = (rcode: Rcode, verification: Verification): TransportError =>
    new TransportError('tsig', 'the TSIG does not hold', {
      sent: true,
      verification,
      answer: createMessage({ rcode, flags: { qr: true } }),
    });
  const bad = (reported: number): Verification => ({ status: 'BADSIG', keyName: key.name, tsig: tsig(reported), key });

  it.each([
    ['BADSIG told by the server', error('NOTAUTH', bad(16)), 'refused', /secret of the key "updater" is another/],
    ['BADKEY told by the server', error('NOTAUTH', bad(17)), 'refused', /knows no key "updater"/],
    ['BADTIME without a signature', error('NOTAUTH', bad(18)), 'refused', /clock/],
    ['a refusal without a signature', error('REFUSED', { status: 'missing' }), 'refused', /without a signature/],
    // Whoever sits in between may have made them: they prove nothing.
    ['an acceptance without a signature', error('NOERROR', { status: 'missing' }), 'failed', /safe to repeat/],
    ['an acceptance with a wrong signature', error('NOERROR', bad(0)), 'failed', /safe to repeat/],
    ['a refusal with a wrong signature', error('REFUSED', bad(0)), 'failed', /safe to repeat/],
    ['silence', new TransportError('timeout', 'no answer', { sent: true }), 'failed', /no answer.*safe to repeat/],
  ])('%s', (_, failure, kind, message) => {
    expect(updateFailure(failure, context)).toMatchObject({ kind, message: expect.stringMatching(message) });
  });

  it('does not speak of effects where nothing was sent', () => {
    const outcome = updateFailure(new TransportError('refused', 'ECONNREFUSED', { sent: false }), context);
    expect(outcome).toEqual({ kind: 'failed', message: expect.not.stringContaining('repeat') });
  });
});
