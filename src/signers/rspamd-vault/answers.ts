/** The answers, written out once for each keyring and given from memory until the next one takes its place. */
import type { SigningKey } from '../../dkim/types.ts';
import type { KeyringEntry, KeyringLookup } from '../keyring-book.ts';
import { type Ed25519Form, rspamdKeyText } from '../rspamd-key-text.ts';
import type { VaultRequest } from './request.ts';

export type Answer =
  | { readonly kind: 'keys' | 'foreign'; readonly body: Buffer }
  /** Nobody has such a key. */
  | { readonly kind: 'unknown' }
  /** The domain's mail must be signed, and there is no key for it at hand. */
  | { readonly kind: 'failed' };

export interface Answers {
  /** Costs nothing but a look into memory, but for the first time after a change. */
  of(request: VaultRequest): Answer;
}

export function createAnswers(keyrings: KeyringLookup, ed25519: Ed25519Form): Answers {
  /** An entry never changes: a new keyring is a new entry, and its answers are written out anew. */
  const written = new WeakMap<KeyringEntry, Map<string, Answer>>();
  return {
    of(request) {
      const entry = keyrings.find(request.domain);
      if (entry === undefined) return request.selector === null ? foreign[request.version] : { kind: 'unknown' };
      let answers = written.get(entry);
      if (answers === undefined) {
        answers = new Map();
        written.set(entry, answers);
      }
      const { stream, selector, version } = request;
      const name = `${version} ${selector ?? ''} ${stream}`;
      const known = answers.get(name);
      if (known !== undefined) return known;
      const answer = write(entry, request, ed25519);
      // Unknown selectors are not remembered: anybody with a token could fill the memory with them.
      if (answer.kind !== 'unknown') answers.set(name, answer);
      return answer;
    },
  };
}

const foreign = { 1: nothing(1), 2: nothing(2) } as const;

function nothing(version: 1 | 2): Answer {
  return { kind: 'foreign', body: envelope({ selectors: [] }, version, 0) };
}

function write(entry: KeyringEntry, { stream, selector, version }: VaultRequest, ed25519: Ed25519Form): Answer {
  const own = entry.streams.get(stream) ?? [];
  // A stream without a key is signed as `default`, as the built-in milter does it.
  const keys = own.length > 0 ? own : (entry.streams.get('default') ?? []);
  try {
    if (selector !== null) {
      const key = [...entry.streams.values()].flat().find((each) => each.selector === selector);
      if (key === undefined) return { kind: 'unknown' };
      return { kind: 'keys', body: envelope({ key: rspamdKeyText(key.privateKey, 'pem') }, version, entry.generation) };
    }
    if (keys.length === 0) return entry.mustSign ? { kind: 'failed' } : nothing(version);
    const selectors = keys.map((key) => ({ ...described(key), key: rspamdKeyText(key.privateKey, ed25519) }));
    return { kind: 'keys', body: envelope({ selectors }, version, entry.generation) };
  } catch {
    // A key that cannot be parsed signs nothing.
    return { kind: 'failed' };
  }
}

function described({ domain, selector, algorithm }: SigningKey) {
  return { domain, selector, alg: algorithm === 'rsa-sha256' ? 'rsa' : 'ed25519' };
}

/** All fields that clients of Vault insist on, of which rspamd reads `data` alone. */
function envelope(content: object, version: 1 | 2, generation: number): Buffer {
  const metadata = {
    created_time: '1970-01-01T00:00:00Z',
    deletion_time: '',
    custom_metadata: null,
    destroyed: false,
    version: Math.max(1, generation),
  };
  const data = version === 1 ? content : { data: content, metadata };
  const rest = {
    request_id: '',
    lease_id: '',
    renewable: false,
    lease_duration: 0,
    wrap_info: null,
    warnings: null,
    auth: null,
  };
  return Buffer.from(JSON.stringify({ ...rest, data }));
}
