import { expect, test } from 'vitest';
import { defaultPolicy } from '../../lifecycle/policy.ts';
import { parseConfig } from './load.ts';
import { configWarnings, policyWarnings } from './warnings.ts';

test('the defaults raise no doubt', () => {
  expect(policyWarnings(defaultPolicy)).toEqual([]);
  expect(configWarnings(parseConfig('policies: {default: {}}', 'keyturn.yaml'))).toEqual([]);
});

test.each([
  ['overlap: 30m', /^policies\.x: overlap 30m: mail may wait in queues for 5d/],
  ['tombstone: 10m', /^policies\.x: tombstone 10m is shorter than ttl \(1h\)/],
  ['lead: 1m', /^policies\.x: lead 1m: resolvers may still remember/],
  ['standby: 0', /^policies\.x: standby 0: after a compromise/],
  ['rotateEvery: 1000d', /^policies\.x: rotateEvery 1000d/],
])('a policy with %s is allowed, with a doubt', (setting, doubt) => {
  const warnings = configWarnings(parseConfig(`policies: {x: {${setting}}}`, 'keyturn.yaml'));
  expect(warnings).toEqual([expect.stringMatching(doubt)]);
});

test("the milter is doubted where mail may leave unsigned, or expire, or be anybody's", () => {
  const text = 'milter: {onFailure: pass, internal: [0.0.0.0/0], sign: {expiresAfter: 1d}}';
  expect(configWarnings(parseConfig(text, 'keyturn.yaml'))).toEqual([
    expect.stringMatching(/expiresAfter 1d/),
    expect.stringMatching(/onFailure pass/),
    expect.stringMatching(/0\.0\.0\.0\/0 is everybody/),
  ]);
});

test('agents that nobody serves from here are doubted', () => {
  const entry = `signers: [{kind: agent, name: mx1, tokenHash: "sha256:${'0'.repeat(64)}"}]`;
  expect(configWarnings(parseConfig(entry, 'keyturn.yaml'))).toEqual([
    expect.stringMatching(/agents\.listen is empty: mx1/),
  ]);
  const served = `${entry}\nagents: {listen: ["127.0.0.1:8843"], tls: {cert: a, key: b}}`;
  expect(configWarnings(parseConfig(served, 'keyturn.yaml'))).toEqual([]);
});
