/** From a survey to the answers of a proof. Pure. */
import type { Verdict } from '../../lifecycle/types.ts';
import { endpointText } from './endpoint.ts';
import { type Expected, judgeValues, overallVerdict } from './judge.ts';
import type { ServerAnswer } from './proof.ts';
import type { Observation, Survey } from './survey.ts';

/** What each authoritative server said, judged. */
export function authoritativeAnswers(survey: Survey, expected: Expected): ServerAnswer[] {
  return survey.observations.map((observation) => answerOf(observation, expected));
}

/** One verdict for a survey: every server must agree, and there must be one. */
export function surveyVerdict(survey: Survey, expected: Expected): Verdict {
  const verdicts = authoritativeAnswers(survey, expected).map(({ verdict }) => verdict);
  return overallVerdict(survey.failure === null ? verdicts : [...verdicts, survey.failure.verdict]);
}

function answerOf(observation: Observation, expected: Expected): ServerAnswer {
  const { server, transport, milliseconds, cnames } = observation;
  const { verdict, values, ttl, detail } = judge(observation, expected);
  const notes = [detail, unroutable(observation)].filter((note) => note !== undefined);
  return {
    server: server.host ?? endpointText(server),
    address: server.address === '' ? '' : endpointText(server),
    role: 'authoritative',
    verdict,
    values,
    ttl,
    cnames,
    transport,
    milliseconds,
    ...(notes.length === 0 ? {} : { detail: notes.join('; ') }),
  };
}

type Judged = Pick<ServerAnswer, 'verdict' | 'values' | 'ttl'> & { readonly detail?: string | undefined };

function judge({ outcome }: Observation, expected: Expected): Judged {
  switch (outcome.kind) {
    case 'values': {
      const { verdict, detail } = judgeValues(outcome.values, expected);
      return { verdict, values: outcome.values, ttl: outcome.ttl, detail: detail ?? outcome.detail };
    }
    case 'alias': {
      const there = authoritativeAnswers(outcome.survey, expected);
      const [first] = there;
      return {
        verdict: surveyVerdict(outcome.survey, expected),
        values: first?.values ?? [],
        ttl: first?.ttl ?? null,
        detail: outcome.survey.failure?.message ?? `as its target ${outcome.target} is served`,
      };
    }
    case 'loop':
      return { verdict: 'mismatched', values: [], ttl: null, detail: outcome.detail };
    case 'unreachable':
      return { verdict: 'unreachable', values: [], ttl: null, detail: outcome.detail };
  }
}

function unroutable({ notCounted }: Observation): string | undefined {
  if (notCounted.length === 0) return undefined;
  return `not asked at ${notCounted.join(', ')}: this machine has no route there`;
}
