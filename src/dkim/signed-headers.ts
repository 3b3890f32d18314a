/** Which fields a signature covers, and how `h=` names them (RFC 6376 sections 3.5, 5.4 and 5.4.2). */
import type { HeaderField } from './types.ts';

/**
 * Signed where present: RFC 6376 section 5.4.1, what MIME needs to read the body as it was written, and what RFC 8058
 * section 4 asks to be covered for one-click unsubscription. Left out: trace fields and what relays rewrite.
 */
export const defaultSignedHeaders: readonly string[] = [
  'from',
  'sender',
  'reply-to',
  'to',
  'cc',
  'subject',
  'date',
  'message-id',
  'in-reply-to',
  'references',
  'mime-version',
  'content-type',
  'content-transfer-encoding',
  'resent-date',
  'resent-from',
  'resent-sender',
  'resent-to',
  'resent-cc',
  'resent-message-id',
  'list-id',
  'list-help',
  'list-unsubscribe',
  'list-unsubscribe-post',
  'list-subscribe',
  'list-post',
  'list-owner',
  'list-archive',
];

/**
 * Named once more than present, so that a second field cannot be slipped in (RFC 6376 section 8.15). `date` and
 * `message-id` are not among them: an MTA may add them after the signer has seen the message.
 */
export const defaultOversignedHeaders: readonly string[] = ['from', 'to', 'cc', 'subject', 'reply-to', 'content-type'];

/** Of one name no more fields than this are signed, the last ones: a hostile message does not get a header of its own size. */
export const signedInstancesPerName = 50;

export interface HeaderSelection {
  /** The names for `h=`, in lower case, in the order in which the fields are hashed. */
  readonly names: readonly string[];
  /** The fields to hash, in that order; names without a field have none (section 5.4.2: they hash as nothing). */
  readonly fields: readonly HeaderField[];
  /** Whether From is among them: without it there is nothing to sign. */
  readonly hasFrom: boolean;
}

export interface HeaderChooser {
  /** Names and the fields of this message; repeated fields are taken from the last upwards (section 5.4.2). */
  choose(headers: readonly HeaderField[]): HeaderSelection;
}

/** Prepares the lists once, so that a message costs one look-up a field. `from` is always signed (section 5.4). */
export function headerChooser(signed: readonly string[], oversigned: readonly string[]): HeaderChooser {
  const oversignedNames = new Set(oversigned.map((name) => name.toLowerCase()));
  const order = [...new Set(['from', ...signed.map((name) => name.toLowerCase()), ...oversignedNames])];
  const slots = new Map<string, number>();
  for (const [slot, name] of order.entries()) slots.set(name, slot);
  // Field names arrive in few spellings: each is turned to lower case once. Bounded, since strangers choose names.
  const spellings = new Map<string, number>();

  function slotOf(name: string): number {
    const known = spellings.get(name);
    if (known !== undefined) return known;
    const slot = slots.get(name.trimEnd().toLowerCase()) ?? -1;
    if (spellings.size < 1000 && name.length <= 64) spellings.set(name, slot);
    return slot;
  }

  return {
    choose(headers) {
      const found: (HeaderField[] | undefined)[] = new Array(order.length).fill(undefined);
      for (let i = headers.length - 1; i >= 0; i--) {
        const header = headers[i] as HeaderField;
        const slot = slotOf(header.name);
        if (slot < 0) continue;
        const fields = found[slot];
        if (fields === undefined) found[slot] = [header];
        else if (fields.length < signedInstancesPerName) fields.push(header);
      }
      const names: string[] = [];
      const fields: HeaderField[] = [];
      for (const [slot, name] of order.entries()) {
        const present = found[slot];
        if (present !== undefined) {
          for (const field of present) {
            names.push(name);
            fields.push(field);
          }
        }
        // The extra name says "and no more of these", which is only true when all of them are signed.
        if (oversignedNames.has(name) && (present?.length ?? 0) < signedInstancesPerName) names.push(name);
      }
      return { names, fields, hasFrom: found[0] !== undefined };
    },
  };
}
