/**
 * What is to be done with a message, once its header is known. Pure: the same message, keyrings and settings give the same answer.
 *
 * Only outbound mail is signed: an authenticated client's, or one from the internal networks (or through a daemon that only
 * takes such mail). Who signs is told by the From field (RFC 6376 section 5.2 leaves the choice to the signer; DMARC
 * compares with From). Each author's domain is looked up exactly, then its parents where subdomains are signed by them.
 */
import type { FromDomains } from '../../dkim/from-domains.ts';
import type { HeaderField, SigningKey } from '../../dkim/types.ts';
import type { KeyringEntry, KeyringLookup } from '../keyring-book.ts';
import type { NetworkList } from './networks.ts';
import { defaultStream, type Envelope, type StreamChooser } from './rules.ts';

export type PassReason =
  /** Neither authenticated nor from an internal network. */
  | 'inbound'
  /** No From field: no author, so none of ours. */
  | 'no-from'
  /** A From field that cannot be read, and that seems to name none of ours. */
  | 'unreadable-from'
  /** No author's domain has a keyring. */
  | 'not-ours'
  /** The domain has never had an active key. */
  | 'setting-up';

export type FailureReason =
  /** A domain that must be signed has no active key. */
  | 'no-keys'
  /** Several From fields (RFC 5322 section 3.6 allows one), one of them with a domain that must be signed. */
  | 'several-from'
  /** A From field that cannot be read to its end, with a domain that must be signed in it. */
  | 'unreadable-from'
  /** Header fields beyond the limit. */
  | 'header-too-large'
  /** The signature could not be made. */
  | 'signing-failed';

/** One domain's signatures. */
export interface SigningPlan {
  readonly entry: KeyringEntry;
  readonly stream: string;
  readonly keys: readonly SigningKey[];
}

export interface SigningDecision {
  readonly kind: 'sign';
  /** At least one. */
  readonly plans: readonly SigningPlan[];
}

export type Decision =
  | SigningDecision
  | { readonly kind: 'pass'; readonly because: PassReason; readonly domain: string | null }
  | { readonly kind: 'fail'; readonly because: FailureReason; readonly domain: string };

export interface DecisionSettings {
  readonly internal: NetworkList;
  /** Names of the MTA's daemons (`{daemon_name}`) all of whose mail is outbound. */
  readonly daemons: ReadonlySet<string>;
  /** Sign for sub.example.com with the keys of example.com where the first has none of its own. */
  readonly signSubdomains: boolean;
  readonly streams: StreamChooser;
}

/** Whether we are the ones to sign this client's mail. */
export function isOutbound(envelope: Envelope, settings: Pick<DecisionSettings, 'internal' | 'daemons'>): boolean {
  return (
    (envelope.user !== null && envelope.user !== '') ||
    envelope.isLocal ||
    (envelope.clientAddress !== null && settings.internal.contains(envelope.clientAddress)) ||
    (envelope.daemonName !== null && settings.daemons.has(envelope.daemonName))
  );
}

/**
 * Decides for a message. With authors at several domains each of them that is ours signs; when one of them must be signed
 * and cannot be, the message fails as a whole. A message with several From fields, or one that cannot be read, is not
 * signed: what a receiver shows of it is anybody's guess (RFC 6376 section 8.15).
 */
export function decide(
  envelope: Envelope,
  headers: readonly HeaderField[],
  from: FromDomains,
  keyrings: KeyringLookup,
  settings: DecisionSettings,
): Decision {
  if (!isOutbound(envelope, settings)) return pass('inbound');
  if (from.kind === 'missing') return pass('no-from');
  const domains = authorDomains(from, headers);
  let ours: KeyringEntry | undefined;
  const plans: SigningPlan[] = [];
  for (const domain of domains) {
    const entry = findEntry(domain, keyrings, settings.signSubdomains);
    if (entry === undefined || plans.some((plan) => plan.entry === entry)) continue;
    ours ??= entry;
    const plan = planFor(entry, envelope, headers, settings.streams);
    if (plan !== null && from.kind !== 'repeated' && from.kind !== 'unreadable') plans.push(plan);
    else if (entry.mustSign) return { kind: 'fail', because: whyUnsigned(from), domain: entry.domain };
  }
  if (plans.length > 0) return { kind: 'sign', plans };
  if (from.kind === 'unreadable') return pass('unreadable-from', ours?.domain);
  return ours === undefined ? pass('not-ours', domains[0]) : pass('setting-up', ours.domain);
}

function pass(because: PassReason, domain: string | null = null): Decision {
  return { kind: 'pass', because, domain };
}

function whyUnsigned(from: FromDomains): FailureReason {
  if (from.kind === 'repeated') return 'several-from';
  return from.kind === 'unreadable' ? 'unreadable-from' : 'no-keys';
}

function authorDomains(
  from: Exclude<FromDomains, { kind: 'missing' }>,
  headers: readonly HeaderField[],
): readonly string[] {
  switch (from.kind) {
    case 'one':
      return [from.domain];
    case 'several':
    case 'repeated':
      return from.domains;
    case 'unreadable':
      return looseDomains(headers);
  }
}

/** Whatever stands behind an `@` in a From field that cannot be read: enough to know whether one of ours may be meant. */
function looseDomains(headers: readonly HeaderField[]): readonly string[] {
  const domains = new Set<string>();
  for (const { name, raw } of headers) {
    if (name.toLowerCase() !== 'from') continue;
    const text = Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('latin1').toLowerCase();
    for (const match of text.matchAll(/@([a-z0-9._-]{1,253})/g)) {
      if (domains.size < 100) domains.add((match[1] ?? '').replace(/\.$/, ''));
    }
  }
  return [...domains];
}

/** The exact name first. One that is still being set up leaves its mail to the parent that signed it so far. */
function findEntry(domain: string, keyrings: KeyringLookup, parents: boolean): KeyringEntry | undefined {
  const exact = keyrings.find(domain);
  if (!parents || (exact !== undefined && (exact.mustSign || hasKeys(exact)))) return exact;
  let dot = domain.indexOf('.');
  while (dot >= 0) {
    const entry = keyrings.find(domain.slice(dot + 1));
    if (entry !== undefined) return entry.mustSign || hasKeys(entry) ? entry : (exact ?? entry);
    dot = domain.indexOf('.', dot + 1);
  }
  return exact;
}

function hasKeys(entry: KeyringEntry): boolean {
  for (const keys of entry.streams.values()) if (keys.length > 0) return true;
  return false;
}

/** A stream without keys of its own, or one that the domain does not have, is signed as `default`. */
function planFor(
  entry: KeyringEntry,
  envelope: Envelope,
  headers: readonly HeaderField[],
  streams: StreamChooser,
): SigningPlan | null {
  const stream = streams.choose(entry.domain, envelope, headers);
  for (const name of stream === defaultStream ? [defaultStream] : [stream, defaultStream]) {
    const keys = entry.streams.get(name);
    if (keys !== undefined && keys.length > 0) return { entry, stream: name, keys };
  }
  return null;
}

export type OnFailure = 'tempfail' | 'reject' | 'pass';

/** What the sending client is told, in the words of RFC 3463: X.7.5 is a cryptographic failure, X.6.0 one of the message. */
export function failureReply(
  because: FailureReason,
  domain: string,
  onFailure: 'tempfail' | 'reject',
): { readonly code: string; readonly status: string; readonly text: string } {
  const permanent = onFailure === 'reject';
  const first = permanent ? '5' : '4';
  const text = {
    'no-keys': `no active DKIM key for ${domain}`,
    'several-from': `several From fields, cannot be DKIM-signed for ${domain}`,
    'unreadable-from': `the From field cannot be read, cannot be DKIM-signed for ${domain}`,
    'header-too-large': `header too large to be DKIM-signed for ${domain}`,
    'signing-failed': `DKIM signing for ${domain} failed`,
  }[because];
  return {
    code: permanent ? '550' : '451',
    status: `${first}.7.5`,
    text: permanent ? text : `${text}; try again later`,
  };
}
