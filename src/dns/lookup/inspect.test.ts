import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { reportSelector, type SelectorReport } from './inspect.ts';
import type { ServerAnswer } from './proof.ts';

const spki = (bits: number): string =>
  generateKeyPairSync('rsa', { modulusLength: bits })
    .publicKey.export({ type: 'spki', format: 'der' })
    .toString('base64');
const record2048 = `v=DKIM1; k=rsa; p=${spki(2048)}`;
const record1024 = `v=DKIM1; p=${spki(1024)}`;
const ed25519 = `v=DKIM1; k=ed25519; p=${Buffer.alloc(32, 1).toString('base64')}`;

function answer(values: readonly string[], parts: Partial<ServerAnswer> = {}): ServerAnswer {
  return {
    server: 'ns1.example.test',
    address: '192.0.2.1',
    role: 'authoritative',
    verdict: values.length === 0 ? 'seen' : 'mismatched',
    values,
    ttl: values.length === 0 ? null : 300,
    cnames: [],
    transport: 'udp',
    milliseconds: 3,
    ...parts,
  };
}
const silent = answer([], { server: 'ns2.example.test', verdict: 'unreachable', detail: 'no answer within 3000 ms' });

const report = (...answers: ServerAnswer[]): SelectorReport =>
  reportSelector('s1', { name: 's1._domainkey.example.test', apex: 'example.test', answers, negativeTtl: 60 });

describe('a selector', () => {
  test.each([
    ['a key of 2048 bits', [answer([record2048]), answer([record2048])], 'usable'],
    ['an Ed25519 key', [answer([ed25519])], 'usable'],
    ['a key of 1024 bits', [answer([record1024])], 'weak'],
    ['a key that is only tested', [answer([record2048.replace('k=rsa', 't=y')])], 'weak'],
    ['an empty p=', [answer(['v=DKIM1; p='])], 'revoked'],
    ['no record', [answer([]), answer([])], 'missing'],
    ['something else', [answer(['v=spf1 -all'])], 'invalid'],
    ['two records', [answer([record2048, ed25519]), answer([ed25519, record2048])], 'invalid'],
    ['servers that do not agree', [answer([record2048]), answer([])], 'inconsistent'],
    ['silent servers', [silent, silent], 'unreachable'],
    ['no servers', [], 'unreachable'],
    ['one silent server of two', [answer([record2048]), silent], 'usable'],
  ] as const)('with %s', (_, answers, status) => {
    expect(report(...answers).status).toBe(status);
  });

  test('is described: strength, TTL, what is wrong and what to do', () => {
    expect(report(answer([record2048]), answer([record2048], { ttl: 600 }))).toMatchObject({
      algorithm: 'rsa',
      bits: 2048,
      ttl: 600,
      value: record2048,
      problems: [],
      notes: [],
    });
    expect(report(answer([record1024])).notes).toEqual([expect.stringContaining('1024 bits')]);
    expect(report(answer([record2048]), silent).problems).toEqual([
      'ns2.example.test did not say: no answer within 3000 ms',
    ]);
    expect(report(answer([record2048]), answer([])).problems).toEqual([expect.stringContaining('do not agree')]);
    expect(report(answer([record2048.slice(0, 300)])).problems).toEqual([expect.stringContaining('cut off')]);
    expect(report(silent).answers).toEqual([expect.objectContaining({ reached: false })]);
  });
});
