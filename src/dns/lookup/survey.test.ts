import { describe, expect, test } from 'vitest';
import { authoritativeAnswers, surveyVerdict } from './answers.ts';
import { type Observation, type Outcome, withoutUnroutable } from './survey.ts';

const seen: Outcome = { kind: 'values', values: ['x'], ttl: 60 };
const noRoute: Outcome = { kind: 'unreachable', noRoute: true, detail: 'network is unreachable' };
const silent: Outcome = { kind: 'unreachable', noRoute: false, detail: 'no answer' };

const observed = (host: string | null, address: string, outcome: Outcome): Observation => ({
  server: { host, address, port: 53 },
  apex: 'example.test',
  transport: 'udp',
  milliseconds: 1,
  cnames: [],
  outcome,
  notCounted: [],
});
const verdictOf = (observations: readonly Observation[]): string =>
  surveyVerdict(
    { observations: withoutUnroutable(observations), apexes: ['example.test'], negativeTtl: 60, failure: null },
    { kind: 'key', value: 'x' },
  );

describe('a family of addresses without a route', () => {
  test('does not count where each of its servers was reached by the other, and the answer says so', () => {
    const observations = [
      observed('ns1.test', '192.0.2.1', seen),
      observed('ns1.test', '2001:db8::1', noRoute),
      observed('ns2.test', '192.0.2.2', seen),
      observed('ns2.test', '2001:db8::2', noRoute),
    ];
    expect(verdictOf(observations)).toBe('seen');
    const counted = withoutUnroutable(observations);
    const answers = authoritativeAnswers(
      { observations: counted, apexes: [], negativeTtl: null, failure: null },
      { kind: 'key', value: 'x' },
    );
    expect(answers.map(({ address, detail }) => [address, detail])).toEqual([
      ['192.0.2.1', 'not asked at 2001:db8::1: this machine has no route there'],
      ['192.0.2.2', 'not asked at 2001:db8::2: this machine has no route there'],
    ]);
  });

  test.each([
    [
      'a server that has no other address',
      [observed('ns1.test', '192.0.2.1', seen), observed('ns2.test', '2001:db8::2', noRoute)],
    ],
    [
      'a server that was not reached by its other address',
      [
        observed('ns1.test', '192.0.2.1', seen),
        observed('ns2.test', '192.0.2.2', silent),
        observed('ns2.test', '2001:db8::2', noRoute),
      ],
    ],
    ['servers whose names are not known', [observed(null, '192.0.2.1', seen), observed(null, '2001:db8::1', noRoute)]],
    [
      'a family of which another address could be reached',
      [
        observed('ns1.test', '192.0.2.1', seen),
        observed('ns1.test', '2001:db8::1', noRoute),
        observed('ns2.test', '2001:db8::2', seen),
      ],
    ],
    [
      'an address that is silent rather than unroutable',
      [observed('ns1.test', '192.0.2.1', seen), observed('ns1.test', '2001:db8::1', silent)],
    ],
  ])('counts for %s', (_, observations) => {
    expect(verdictOf(observations)).toBe('unreachable');
  });
});
