/** The end of a message that is not signed: counted, told to the log where it is a failure, answered. */
import type { MilterCore } from './core.ts';
import { type Decision, type FailureReason, failureReply } from './decide.ts';
import { replyAccept, replyCode } from './reply.ts';

/** Gives the answer. `label` names the message in the log. */
export function settle(
  core: MilterCore,
  label: () => string,
  decision: Exclude<Decision, { readonly kind: 'sign' }>,
): Buffer {
  const { counters } = core.metrics;
  counters.messages += 1;
  if (decision.kind === 'fail') {
    counters.failed[decision.because] += 1;
    return failure(core, label, decision.because, decision.domain);
  }
  counters.passed[decision.because] += 1;
  if (decision.because === 'setting-up' && decision.domain !== null) core.metrics.sawSettingUp(decision.domain);
  return replyAccept;
}

function failure(core: MilterCore, label: () => string, because: FailureReason, domain: string): Buffer {
  const { counters } = core.metrics;
  if (core.onFailure === 'pass') {
    counters.passedUnsigned += 1;
    core.log('warn', `${label()}: passed unsigned, for the settings say so: ${because} for ${domain}`);
    return replyAccept;
  }
  if (core.onFailure === 'reject') counters.rejected += 1;
  else counters.tempfailed += 1;
  const { code, status, text } = failureReply(because, domain, core.onFailure);
  core.log('warn', `${label()}: answered ${code} ${status} ${text}`);
  return replyCode(code, status, text);
}
