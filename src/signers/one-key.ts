/** For signers that sign a domain with one key, whatever the stream: which key that is, and which keys count as ours there. */
import type { KeyObject } from 'node:crypto';
import { publicKeyData } from '../dkim/key-pair.ts';
import type { Keyring } from './keyring.ts';

export interface Wanted {
  readonly kind: 'key';
  readonly selector: string;
  readonly publicKey: string;
  /** Null where the signer alone has it. */
  readonly privateKey: KeyObject | null;
}

export type WantedKey =
  | Wanted
  | { readonly kind: 'nothing-yet' }
  | { readonly kind: 'refused'; readonly message: string };

/** The RSA key that entered last. `who` is how messages call the signer. */
export function wantedKey(keyring: Keyring, who: string): WantedKey {
  const { domain, mustSign, streams, held = {} } = keyring;
  const names = new Set([...Object.keys(streams), ...Object.keys(held)]);
  const filled = [...names].flatMap((name) => {
    const keys = [...candidates(keyring, name)].sort((a, b) => b.entered - a.entered);
    return keys[0] === undefined ? [] : [{ name, latest: keys[0] }];
  });
  const [only, second] = filled;
  if (second !== undefined)
    return {
      kind: 'refused',
      message: `${who} signs all mail of ${domain} with one key, and is to sign the streams ${filled.map(({ name }) => name).join(' and ')}: let it sign one of them (signs.streams).`,
    };
  if (only !== undefined) return { kind: 'key', ...only.latest.key() };
  if (!mustSign) return { kind: 'nothing-yet' };
  return { kind: 'refused', message: `${domain} has no active RSA key for ${who}: what signs there is left as it is.` };
}

function* candidates({ streams, held = {} }: Keyring, name: string) {
  for (const { selector, algorithm, privateKey, entered = 0 } of streams[name] ?? []) {
    if (algorithm !== 'rsa-sha256') continue;
    yield { entered, key: () => ({ selector, privateKey, publicKey: publicKeyData(privateKey) }) };
  }
  for (const { selector, algorithm, publicKey, entered } of held[name] ?? []) {
    if (algorithm !== 'rsa-sha256') continue;
    yield { entered, key: () => ({ selector, privateKey: null, publicKey }) };
  }
}

/**
 * What was put in place last is ours, and so is a key that signs or has just left: a crash may have come between the copying and the
 * note of it. A withdrawn key of ours stands there by a backup that was put back, or by mistake: see {@link isWithdrawn}. Anything else
 * was put there by somebody.
 */
export function isOurs(
  present: { readonly selector: string; readonly publicKey: string },
  { streams, held = {}, others = [] }: Keyring,
  before: { readonly selector: string | null; readonly publicKey: string | null },
): boolean {
  const { selector, publicKey } = present;
  if (before.selector === selector && before.publicKey === publicKey) return true;
  if (isWithdrawn(present, { others })) return true;
  const signs = [
    ...Object.values(streams)
      .flat()
      .map((key) => ({ selector: key.selector, publicKey: publicKeyData(key.privateKey) })),
    ...Object.values(held).flat(),
    ...others.filter(({ state }) => state === 'retiring'),
  ];
  return signs.some((key) => key.selector === selector && key.publicKey === publicKey);
}

/** A key of ours whose record is withdrawn: receivers find nothing to verify by, so that nobody can want it to sign. */
export function isWithdrawn(
  present: { readonly selector: string; readonly publicKey: string },
  { others = [] }: Pick<Keyring, 'others'>,
): boolean {
  return others.some(
    ({ state, selector, publicKey }) =>
      (state === 'revoked' || state === 'removed') && selector === present.selector && publicKey === present.publicKey,
  );
}
