/** What is allowed and seldom meant: said by `keyturn config check` and `keyturn policy set`, and logged when the server starts. */
import type { Policy } from '../../lifecycle/policy.ts';
import { formatDuration } from '../../settings/durations.ts';
import type { Config } from './schema.ts';

const hour = 3_600_000;
const day = 24 * hour;
/** How long mail servers go on trying to deliver a message (RFC 5321 section 4.5.4.1: at least 4 to 5 days). */
const queueLife = 5 * day;

/** One sentence a doubt; empty where there is none. */
export function policyWarnings(policy: Policy): string[] {
  const { overlap, tombstone, rotateEvery, lead, standby } = policy;
  const ttl = policy.ttl * 1000;
  const warnings: string[] = [];
  if (overlap < queueLife) {
    warnings.push(
      `overlap ${formatDuration(overlap)}: mail may wait in queues for ${formatDuration(queueLife)}, and be verified only after its key is revoked`,
    );
  }
  if (tombstone < ttl) {
    warnings.push(
      `tombstone ${formatDuration(tombstone)} is shorter than ttl (${formatDuration(ttl)}): resolvers may keep a revoked key for longer than it says that it is revoked`,
    );
  }
  if (lead < hour)
    warnings.push(
      `lead ${formatDuration(lead)}: resolvers may still remember that the key was not there; twice the zone's negative TTL is waited for in any case`,
    );
  if (standby === 0)
    warnings.push(
      'standby 0: after a compromise no key is ready to take over; a new one must first be published and proved',
    );
  if (rotateEvery > 366 * day)
    warnings.push(`rotateEvery ${formatDuration(rotateEvery)}: three to six months is usual, a year the most`);
  return warnings;
}

/** One line a doubt, with the setting it is about. */
export function configWarnings({ policies, milter, signers, agents }: Config): string[] {
  const warnings = Object.entries(policies).flatMap(([name, policy]) =>
    policyWarnings(policy).map((warning) => `policies.${name}: ${warning}`),
  );
  const { expiresAfter } = milter.sign;
  if (expiresAfter !== undefined && expiresAfter < queueLife) {
    warnings.push(
      `milter.sign.expiresAfter ${formatDuration(expiresAfter)}: mail may wait in queues for ${formatDuration(queueLife)}, and its signature expire before it arrives`,
    );
  }
  if (milter.onFailure === 'pass')
    warnings.push('milter.onFailure pass: mail that must be signed and cannot be leaves unsigned');
  for (const network of [...milter.allow, ...milter.internal]) {
    if (/\/0+$/.test(network))
      warnings.push(`milter: ${network} is everybody: whoever reaches the socket is signed for, or may use it`);
  }
  const remote = signers.filter(({ kind }) => kind === 'agent').map(({ name }) => name);
  if (remote.length > 0 && agents.listen.length === 0)
    warnings.push(
      `agents.listen is empty: ${remote.join(', ')} must be served by another instance, or is waited for in vain`,
    );
  return [...new Set(warnings)];
}
