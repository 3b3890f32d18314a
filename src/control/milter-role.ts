/**
 * The signing milter's role. Every keyring is in place before the first socket is opened: a mail server that meets a closed socket asks its
 * sender to try again, one that met a milter without keys would not know that mail goes out unsigned.
 */
import type { SignerOptions } from '../dkim/sign.ts';
import type { Clock } from '../lifecycle/clock.ts';
import type { Keyring } from '../signers/keyring.ts';
import { createKeyringBook } from '../signers/keyring-book.ts';
import { type MilterServer, startMilter } from '../signers/milter/server.ts';
import { createMilterSigner } from '../signers/milter/signer.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import { type Binding, boundStreams } from './bindings.ts';
import type { Config } from './config/schema.ts';
import { toKeyring, toUnparsedKeyring } from './keyring.ts';
import { errorText, type Log } from './log.ts';

export interface MilterRole {
  readonly signer: Signer;
  readonly server: MilterServer;
  stop(): Promise<void>;
}

/** @throws Error naming the socket that could not be opened. */
export async function startMilterRole(
  id: string,
  config: Config['milter'],
  { store, clock, log }: { readonly store: Store; readonly clock: Clock; readonly log: Log },
): Promise<MilterRole> {
  const keyrings = createKeyringBook();
  const binding: Binding = { signerId: id, ...config.signs };
  for await (const keyring of loadKeyrings(store, log)) {
    const bound = boundKeyring(keyring, binding);
    if (bound !== null) keyrings.put(bound);
  }
  const server = await startMilter({
    listen: config.listen,
    keyrings,
    socketMode: Number.parseInt(config.socketMode, 8),
    socketGroup: config.socketGroup,
    daemons: config.daemons,
    allow: config.allow,
    internal: config.internal,
    signSubdomains: config.signSubdomains,
    onFailure: config.onFailure,
    streams: config.streams,
    sign: signerOptions(config.sign),
    maxConnections: config.maxConnections,
    idleTimeout: config.idleTimeout,
    clock,
    log: (level, message) => log[level]('milter', { message: typeof message === 'string' ? message : message() }),
  });
  const signer = createMilterSigner({ id, keyrings, core: server.core });
  return { signer, server, stop: () => server.stop() };
}

/** What of the keyring this milter signs with; null where the domain is not its business. */
function boundKeyring(keyring: Keyring, binding: Binding): Keyring | null {
  const names = boundStreams(binding, keyring.domain, Object.keys(keyring.streams));
  if (names.length === 0) return null;
  return { ...keyring, streams: Object.fromEntries(names.map((name) => [name, keyring.streams[name] ?? []])) };
}

/** The settings as the signer takes them: canonicalizations apart, expiry in seconds. */
function signerOptions({ canonicalization, headers, oversign, expiresAfter }: Config['milter']['sign']): SignerOptions {
  const [header, body] = canonicalization.split('/').map((part) => (part === 'simple' ? 'simple' : 'relaxed'));
  return {
    canonicalization: { header: header ?? 'relaxed', body: body ?? 'relaxed' },
    signedHeaders: headers,
    oversignedHeaders: oversign,
    ...(expiresAfter === undefined ? {} : { expiresIn: Math.round(expiresAfter / 1000) }),
  };
}

/** Every keyring. Where some cannot be opened they are gone through one by one, so that a damaged key costs its own domain only. */
async function* loadKeyrings(store: Store, log: Log): AsyncGenerator<Keyring> {
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
