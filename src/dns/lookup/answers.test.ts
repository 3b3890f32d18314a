import fc from 'fast-check';
import { expect, test } from 'vitest';
import { authoritativeAnswers, surveyVerdict } from './answers.ts';
import type { Observation, Outcome, Survey } from './survey.ts';

const value = 'v=DKIM1; k=rsa; p=AAAA';
const key = { kind: 'key', value } as const;

/** Surveys as deep as CNAMEs lead. */
const { survey } = fc.letrec<{ survey: Survey; outcome: Outcome; observation: Observation }>((tie) => ({
  outcome: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    { weight: 6, arbitrary: fc.constant({ kind: 'values', values: [value], ttl: 60 }) },
    {
      weight: 2,
      arbitrary: fc
        .constantFrom([], ['v=DKIM1; p='], ['other'], [value, 'other'])
        .map((values) => ({ kind: 'values' as const, values, ttl: null })),
    },
    {
      weight: 1,
      arbitrary: fc.boolean().map((noRoute) => ({ kind: 'unreachable' as const, noRoute, detail: 'silent' })),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'loop', detail: 'circle' }) },
    {
      weight: 3,
      arbitrary: tie('survey').map((there) => ({ kind: 'alias' as const, target: 'k1.keys.test', survey: there })),
    },
  ),
  observation: fc.tuple(fc.constantFrom('ns1.test', 'ns2.test', null), tie('outcome')).map(([host, outcome]) => ({
    server: { host, address: '192.0.2.1', port: 53 },
    apex: 'example.test',
    transport: 'udp',
    milliseconds: 1,
    cnames: [],
    outcome,
    notCounted: [],
  })),
  survey: fc.record({
    observations: fc.array(tie('observation'), { maxLength: 4 }),
    apexes: fc.constant(['example.test']),
    negativeTtl: fc.constant(60),
    failure: fc.oneof(
      { weight: 9, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constant({ kind: 'failed', verdict: 'unreachable', message: 'nobody to ask' }) },
    ),
  }),
}));

/** Every server, also behind CNAMEs, serves exactly our value, and there is one. */
function allServe({ observations, failure }: Survey): boolean {
  return (
    failure === null &&
    observations.length > 0 &&
    observations.every(({ outcome }) => {
      if (outcome.kind === 'alias') return allServe(outcome.survey);
      return outcome.kind === 'values' && outcome.values.length === 1 && outcome.values[0] === value;
    })
  );
}

test('a key is seen exactly where every server of every zone on the way serves it', () => {
  fc.assert(
    fc.property(survey, (found) => {
      expect(surveyVerdict(found, key) === 'seen').toBe(allServe(found));
    }),
    { numRuns: 1000 },
  );
});

test('one more server that does not serve it is enough to spoil it', () => {
  fc.assert(
    fc.property(survey, survey, (found, other) => {
      if (other.observations.length === 0 || surveyVerdict(other, key) === 'seen') return;
      const both = {
        ...found,
        observations: [...found.observations, ...other.observations],
        failure: found.failure ?? other.failure,
      };
      expect(surveyVerdict(both, key)).not.toBe('seen');
    }),
  );
});

test('each server has its answer, with what was served and why it does not do', () => {
  fc.assert(
    fc.property(survey, (found) => {
      const answers = authoritativeAnswers(found, key);
      expect(answers).toHaveLength(found.observations.length);
      for (const answer of answers) {
        if (answer.verdict === 'seen') expect(answer.values).toEqual([value]);
        if (answer.verdict === 'unreachable') expect(answer.detail).toBeDefined();
      }
    }),
  );
});
