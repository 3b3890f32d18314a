/**
 * What stands in a mailcow installation, sorted: mail domains with the key that signs, blind keys (private halves that nothing points at),
 * helper domains ("shadows"), and what belongs to nothing. Pure but for reading the keys.
 */
import { setImmediate } from 'node:timers/promises';
import { importPrivateKey } from '../../dkim/import-key.ts';
import { publicKeyData, publicKeyFromData } from '../../dkim/key-pair.ts';
import type { KeyAlgorithm } from '../../lifecycle/types.ts';
import { isDomainName } from '../../settings/values.ts';
import type { MailcowHashes } from './source.ts';

export interface FoundKey {
  readonly selector: string;
  /** `active`: mailcow signs with it. `blind`: its private half is there, and nothing points at it. */
  readonly role: 'active' | 'blind';
  readonly algorithm: KeyAlgorithm;
  readonly bits: number;
  /** What belongs into `p=`; of the private half where it can be seen, for that is what signs. */
  readonly publicKey: string;
  /** PKCS#8, DER: a secret. Null where mailcow does not show it. */
  readonly pkcs8: Uint8Array | null;
}

export interface FoundDomain {
  readonly name: string;
  readonly kind: 'mail' | 'shadow';
  /** The mail domain whose keys a shadow holds; null where there is none. */
  readonly shadowOf: string | null;
  /** It holds the same key as a domain above it: a helper domain, unless its own record stands in DNS. */
  readonly perhapsShadowOf: string | null;
  readonly keys: readonly FoundKey[];
  readonly problems: readonly string[];
}

/** What cannot be taken over, in words. */
export interface Orphan {
  readonly kind:
    | 'selector-without-key'
    | 'key-without-domain'
    | 'public-key-alone'
    | 'unreadable-key'
    | 'unusable-name'
    | 'collision';
  /** The domain, or the field of the hash. */
  readonly what: string;
  readonly message: string;
}

export interface MailcowSurvey {
  readonly domains: readonly FoundDomain[];
  readonly orphans: readonly Orphan[];
}

export interface SurveyOptions {
  /** Which domains are helper domains: `dkim-*` is held against the first label, a pattern with dots against the whole name. */
  readonly shadowPatterns: readonly string[];
  /** Only these domains and their shadows; empty for all. */
  readonly only?: readonly string[];
  readonly progress?: (done: number, of: number) => void;
}

const keySelector = /^[a-z0-9](?:[a-z0-9._-]{0,200}[a-z0-9])?$/;

export async function surveyMailcow(hashes: MailcowHashes, options: SurveyOptions): Promise<MailcowSurvey> {
  const { publicKeys, selectors } = hashes;
  const orphans: Orphan[] = [];
  const orphan = (kind: Orphan['kind'], what: string, message: string) => orphans.push({ kind, what, message });
  const usable = [...selectors.keys()].filter((domain) => isUsableName(domain));
  const kinds = kindsOf(usable, hashes, options.shadowPatterns);
  const blind = blindFields(hashes, new Set([...usable, ...publicKeys.keys()]));
  const wanted = usable.filter((name) => isWanted(name, kinds.get(name)?.shadowOf ?? null, options.only ?? []));

  const domains: FoundDomain[] = [];
  for (const [index, name] of wanted.sort().entries()) {
    // Reading a key takes a millisecond: others get their turn.
    if (index % 50 === 0) await setImmediate();
    options.progress?.(index + 1, wanted.length);
    const selector = selectors.get(name) ?? '';
    const found = readDomain(name, selector, hashes, blind.of.get(name) ?? [], orphan);
    if (found !== null) domains.push({ ...found, ...(kinds.get(name) ?? mailDomain) });
  }
  if ((options.only ?? []).length === 0) {
    for (const name of selectors.keys())
      if (!isUsableName(name))
        orphan(
          'unusable-name',
          name,
          `rspamd asks for domains in lower case and punycode: nothing signs by this entry.`,
        );
    for (const field of blind.unclaimed)
      orphan(
        'key-without-domain',
        field,
        'This private key belongs to no domain that has a selector: nothing signs with it.',
      );
    for (const name of publicKeys.keys())
      if (!selectors.has(name))
        orphan('public-key-alone', name, 'It has a public key and no selector: its mail is not signed.');
  }
  for (const [field, names] of sharedFields(selectors))
    if (names.some((name) => wanted.includes(name)))
      orphan(
        'collision',
        field,
        `${names.join(' and ')} sign with one and the same private key, for a selector has a dot.`,
      );
  return { domains, orphans };
}

const mailDomain = { kind: 'mail', shadowOf: null, perhapsShadowOf: null } as const;

function isUsableName(name: string): boolean {
  return name === name.toLowerCase() && isDomainName(name) && name.includes('.');
}

function isWanted(name: string, shadowOf: string | null, only: readonly string[]): boolean {
  return only.length === 0 || only.includes(name) || (shadowOf !== null && only.includes(shadowOf));
}

type Kind = Pick<FoundDomain, 'kind' | 'shadowOf' | 'perhapsShadowOf'>;

function kindsOf(names: readonly string[], hashes: MailcowHashes, patterns: readonly string[]): Map<string, Kind> {
  const globs = patterns.map(toGlob);
  const isShadow = (name: string) => globs.some((glob) => glob(name));
  const all = new Set(names);
  const kinds = new Map<string, Kind>();
  for (const name of names) {
    const above = ancestors(name).filter((each) => (all.has(each) || hashes.domains?.has(each)) && !isShadow(each));
    if (isShadow(name)) {
      kinds.set(name, { kind: 'shadow', shadowOf: above[0] ?? null, perhapsShadowOf: null });
      continue;
    }
    const twin = above.find((each) => sameKey(name, each, hashes));
    kinds.set(name, { kind: 'mail', shadowOf: null, perhapsShadowOf: twin ?? null });
  }
  return kinds;
}

function sameKey(a: string, b: string, { selectors, publicKeys }: MailcowHashes): boolean {
  return selectors.get(a) === selectors.get(b) && publicKeys.get(a) === publicKeys.get(b) && publicKeys.has(a);
}

/** Parents, the nearest first. */
function ancestors(name: string): string[] {
  const labels = name.split('.');
  return labels.slice(1, -1).map((_, index) => labels.slice(index + 1).join('.'));
}

function toGlob(pattern: string): (name: string) => boolean {
  const source = pattern
    .toLowerCase()
    .split('*')
    .map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'))
    .join('[^.]*');
  const expression = new RegExp(`^${source}$`);
  return (name) => expression.test(pattern.includes('.') ? name : (name.split('.')[0] ?? ''));
}

/** Private keys that are not the one that signs, by the domain that they belong to: the longest name that fits. */
function blindFields(
  { selectors, privateKeys }: MailcowHashes,
  names: ReadonlySet<string>,
): { of: Map<string, Array<{ field: string; selector: string }>>; unclaimed: string[] } {
  const active = new Set([...selectors].map(([domain, selector]) => `${selector}.${domain}`));
  const of = new Map<string, Array<{ field: string; selector: string }>>();
  const unclaimed: string[] = [];
  for (const field of privateKeys.keys()) {
    if (active.has(field)) continue;
    const labels = field.split('.');
    const cut = labels.findIndex((_, index) => index > 0 && names.has(labels.slice(index).join('.')));
    const domain = cut < 0 ? null : labels.slice(cut).join('.');
    if (domain === null || !selectors.has(domain)) {
      unclaimed.push(field);
      continue;
    }
    const list = of.get(domain) ?? [];
    list.push({ field, selector: labels.slice(0, cut).join('.') });
    of.set(domain, list);
  }
  return { of, unclaimed };
}

function sharedFields(selectors: ReadonlyMap<string, string>): Array<readonly [string, readonly string[]]> {
  const byField = new Map<string, string[]>();
  for (const [domain, selector] of selectors) {
    // Without a dot the field can only be read in one way.
    const field = `${selector}.${domain}`;
    byField.set(field, [...(byField.get(field) ?? []), domain]);
  }
  return [...byField].filter(([, names]) => names.length > 1);
}

function readDomain(
  name: string,
  selector: string,
  hashes: MailcowHashes,
  blind: ReadonlyArray<{ readonly field: string; readonly selector: string }>,
  orphan: (kind: Orphan['kind'], what: string, message: string) => void,
): Pick<FoundDomain, 'name' | 'keys' | 'problems'> | null {
  const problems: string[] = [];
  const pem = hashes.privateKeys.get(`${selector}.${name}`);
  const shown = hashes.publicKeys.get(name)?.replaceAll(/\s+/g, '');
  const active = readActive(name, selector, pem, shown, hashes.complete, orphan);
  if (active === null) return null;
  if (pem !== undefined && shown !== active.publicKey)
    problems.push(
      shown === undefined
        ? `mailcow shows no public key for ${selector}, though it signs with it.`
        : `The public key that mailcow shows is not that of ${selector}, with which it signs: a record made from it would fail every message.`,
    );
  if (hashes.domains !== null && !hashes.domains.has(name)) problems.push('mailcow has no such mail domain any more.');
  const keys: FoundKey[] = [active];
  for (const { field, selector: its } of blind.toSorted((a, b) => (a.selector < b.selector ? -1 : 1))) {
    const read = keySelector.test(its)
      ? readPrivate(hashes.privateKeys.get(field) ?? '')
      : 'its selector cannot be used';
    if (typeof read === 'string') orphan('unreadable-key', field, `This private key cannot be taken over: ${read}.`);
    else keys.push({ selector: its, role: 'blind', ...read });
  }
  return { name, keys, problems };
}

function readActive(
  name: string,
  selector: string,
  pem: string | undefined,
  shown: string | undefined,
  complete: boolean,
  orphan: (kind: Orphan['kind'], what: string, message: string) => void,
): FoundKey | null {
  if (!keySelector.test(selector)) {
    const why = /[A-Z]/.test(selector)
      ? ': it has capital letters; duplicate the key under another selector first'
      : '';
    orphan('unusable-name', name, `Its selector ${JSON.stringify(selector)} cannot be used here${why}.`);
    return null;
  }
  if (pem !== undefined && pem !== '') {
    const read = readPrivate(pem);
    if (typeof read !== 'string') return { selector, role: 'active', ...read };
    orphan(
      'unreadable-key',
      name,
      `The private key of ${selector}, with which it should be signed, cannot be read: ${read}.`,
    );
    return null;
  }
  const known = complete || shown === undefined ? null : publicKeyFromData('rsa', shown);
  if (known?.ok === true && shown !== undefined)
    return { selector, role: 'active', algorithm: 'rsa', bits: known.bits, publicKey: shown, pkcs8: null };
  orphan(
    'selector-without-key',
    name,
    `It is to be signed with ${selector}, and has no private key: its mail leaves unsigned now.`,
  );
  return null;
}

function readPrivate(pem: string): Omit<FoundKey, 'selector' | 'role'> | string {
  const imported = importPrivateKey(pem);
  if (!imported.ok) return imported.error.message;
  const { algorithm, bits, privateKey } = imported.pair;
  const pkcs8 = new Uint8Array(privateKey.export({ type: 'pkcs8', format: 'der' }));
  return { algorithm, bits, publicKey: publicKeyData(privateKey), pkcs8 };
}
