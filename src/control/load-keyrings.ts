/** The keyrings that a signer begins with: all that it is bound to, before it answers its first question. */
import type { Keyring } from '../signers/keyring.ts';
import type { Store } from '../store/store.ts';
import { type Binding, boundStreams } from './bindings.ts';
import { toKeyring, toUnparsedKeyring } from './keyring.ts';
import { errorText, type Log } from './log.ts';

/**
 * What of every keyring the signer is to sign with. Keys are parsed at their first use; when they entered and the domain's other keys are
 * not told: `deliver` brings both.
 */
export async function* loadKeyrings(store: Store, binding: Binding, log: Log): AsyncGenerator<Keyring> {
  for await (const keyring of allKeyrings(store, log)) {
    const bound = boundKeyring(keyring, binding);
    if (bound !== null) yield bound;
  }
}

/** What of the keyring this signer signs with; null where the domain is not its business. */
export function boundKeyring(keyring: Keyring, binding: Binding): Keyring | null {
  const names = boundStreams(binding, keyring.domain, Object.keys(keyring.streams));
  if (names.length === 0) return null;
  const algorithms = binding.abilities?.algorithms ?? ['rsa', 'ed25519'];
  const keysOf = (stream: string) =>
    (keyring.streams[stream] ?? []).filter(({ algorithm }) =>
      algorithms.includes(algorithm === 'rsa-sha256' ? 'rsa' : 'ed25519'),
    );
  return { ...keyring, streams: Object.fromEntries(names.map((name) => [name, keysOf(name)])) };
}

/** Every keyring. Where some cannot be opened they are gone through one by one, so that a damaged key costs its own domain only. */
async function* allKeyrings(store: Store, log: Log): AsyncGenerator<Keyring> {
  try {
    for await (const stored of store.keyrings()) yield toUnparsedKeyring(stored);
    return;
  } catch (error) {
    log.error('keyrings-not-loaded', { error: errorText(error) });
  }
  let after: string | null = null;
  do {
    const page: Awaited<ReturnType<Store['listDomains']>> = await store.listDomains(
      { kind: 'mail' },
      { limit: 1000, after },
    );
    for (const { name, generation, firstActiveAt } of page.items) {
      try {
        const stored = await store.keyring(name);
        if (stored !== null) yield toKeyring(stored);
      } catch (error) {
        // Without its keys the domain's mail is put off, never passed: that is what an empty keyring that must sign tells the milter.
        log.error('keyring-not-loaded', { domain: name, error: errorText(error) });
        yield { domain: name, generation, mustSign: firstActiveAt !== null, streams: { default: [] } };
      }
    }
    after = page.next;
  } while (after !== null);
}
