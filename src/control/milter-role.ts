/**
 * The signing milter's role. Every keyring is in place before the first socket is opened: a mail server that meets a closed socket asks its
 * sender to try again, one that met a milter without keys would not know that mail goes out unsigned.
 */
import type { SignerOptions } from '../dkim/sign.ts';
import type { Clock } from '../lifecycle/clock.ts';
import type { Keyring } from '../signers/keyring.ts';
import { createKeyringBook, type KeyringBook } from '../signers/keyring-book.ts';
import { type MilterServer, startMilter } from '../signers/milter/server.ts';
import { createMilterSigner } from '../signers/milter/signer.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import type { Binding } from './bindings.ts';
import type { Config } from './config/schema.ts';
import { loadKeyrings } from './load-keyrings.ts';
import type { Log } from './log.ts';

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
  const binding: Binding = { signerId: id, ...config.signs };
  return startMilterOf(id, config, loadKeyrings(store, binding, log), { clock, log });
}

/**
 * The same with keyrings from wherever they come; each is what of a domain this milter signs with.
 * @throws Error naming the socket that could not be opened.
 */
export async function startMilterOf(
  id: string,
  config: Config['milter'],
  begin: AsyncIterable<Keyring>,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<MilterRole> {
  const keyrings = createKeyringBook();
  for await (const keyring of begin) keyrings.put(keyring);
  return openMilter(id, config, keyrings, { clock, log });
}

/**
 * The same by a book that is filled already, and that somebody else keeps up to date.
 * @throws Error naming the socket that could not be opened.
 */
export async function openMilter(
  id: string,
  config: Config['milter'],
  keyrings: KeyringBook,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<MilterRole> {
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
