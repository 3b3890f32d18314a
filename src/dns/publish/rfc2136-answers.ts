/** What the answers and failures of a server mean for an update, in words that help. */

import type { Exchange, TransportError } from '../wire/transport.ts';
import { badTimeOf, type TsigKey, tsigErrors } from '../wire/tsig.ts';

/** `again`: the data changed meanwhile, read anew. */
export type UpdateOutcome =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'again' }
  | { readonly kind: 'refused' | 'failed'; readonly message: string };

export interface UpdateContext {
  readonly name: string;
  readonly zone: string;
  /** As configured: `ns1.example.net (192.0.2.1 port 53)`. */
  readonly server: string;
  readonly key: TsigKey;
  /** Epoch seconds. */
  readonly now: number;
}

/** The meaning of a verified answer to an UPDATE. */
export function updateOutcome({ message, verification }: Exchange, context: UpdateContext): UpdateOutcome {
  const { zone, server, key, name } = context;
  const refused = (why: string): UpdateOutcome => ({ kind: 'refused', message: `${doing(context)} ${why}` });
  // Behind customers' aliases keys stand under names of every shape.
  const scope = name.includes('._domainkey.') ? `wildcard *._domainkey.${zone}.` : 'zonesub';
  switch (message.rcode) {
    case 'NOERROR':
      return { kind: 'accepted' };
    // A prerequisite does not hold (RFC 2136 §3.2).
    case 'YXDOMAIN':
    case 'YXRRSET':
    case 'NXDOMAIN':
    case 'NXRRSET':
      return { kind: 'again' };
    case 'REFUSED':
      return refused(
        `was refused (REFUSED): the key "${key.name}" may not change TXT records at ${name} there. ` +
          `Allow it on ${server}: for BIND, in the zone, update-policy { grant ${key.name} ${scope} TXT; };`,
      );
    case 'NOTAUTH': {
      if (verification?.reported === tsigErrors.BADTIME) return refused(badTime(badTimeOf(verification.tsig), context));
      if (verification !== undefined && verification.reported !== 0) {
        return refused(`was refused for its signature (TSIG error ${verification.reported}).`);
      }
      return refused(`came to a server that is not primary for ${zone} (NOTAUTH). Name the zone's primary as server.`);
    }
    case 'NOTZONE':
      return refused(`names records outside of ${zone} (NOTZONE). Correct the publisher's zone.`);
    case 'NOTIMP':
    case 'FORMERR':
      return refused(
        `is not understood there (${message.rcode}). Turn on dynamic updates for ${zone}, or choose another publisher.`,
      );
    case 'SERVFAIL':
      return {
        kind: 'failed',
        message:
          `${doing(context)} failed inside the server (SERVFAIL). Look at its log: often it may not write its journal ` +
          `beside the zone file, or the zone is frozen or has not been loaded.`,
      };
    default:
      return { kind: 'failed', message: `${doing(context)} was answered ${message.rcode}.` };
  }
}

/** The meaning of an exchange that failed. What is not certain to have been refused counts as failed. */
export function updateFailure(error: TransportError, context: UpdateContext): UpdateOutcome {
  const { key, server } = context;
  const { answer, verification } = error.details;
  const refused = (why: string): UpdateOutcome => ({ kind: 'refused', message: `${doing(context)} ${why}` });
  if (error.code === 'tsig' && answer?.rcode === 'NOTAUTH' && verification !== undefined && 'tsig' in verification) {
    switch (verification.tsig.error) {
      case tsigErrors.BADKEY:
        return refused(
          `was refused (BADKEY): the server knows no key "${key.name}" with ${key.algorithm}, or (as Knot puts it) no rule ` +
            'lets that key update this name. Name and algorithm must be the same on both sides, and an ACL must allow it.',
        );
      case tsigErrors.BADSIG:
        return refused(`was refused (BADSIG): the secret of the key "${key.name}" is another one there. Copy it anew.`);
      case tsigErrors.BADTIME:
        return refused(badTime(badTimeOf(verification.tsig), context));
    }
  }
  if (
    error.code === 'tsig' &&
    verification?.status === 'missing' &&
    answer !== undefined &&
    answer.rcode !== 'NOERROR'
  ) {
    const { rcode } = answer;
    if (rcode === 'REFUSED' || rcode === 'NOTAUTH' || rcode === 'NOTIMP' || rcode === 'FORMERR') {
      return refused(
        `was answered ${rcode}, without a signature. Allow the key "${key.name}" to update the zone on ${server}.`,
      );
    }
  }
  const unknown = error.details.sent ? ' Whether it took effect is not known; it is safe to repeat.' : '';
  return { kind: 'failed', message: `${doing(context)} failed: ${error.message}.${unknown}` };
}

export function doing({ name, zone, server }: Pick<UpdateContext, 'name' | 'zone' | 'server'>): string {
  return `The update of ${name} in ${zone} at ${server}`;
}

function badTime(serverTime: number | null, { now, server }: UpdateContext): string {
  const difference = serverTime === null ? '' : ` by ${Math.abs(serverTime - now)} seconds`;
  return `was refused (BADTIME): this machine's clock and that of ${server} differ${difference}. Set both by NTP.`;
}
