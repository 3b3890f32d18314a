/**
 * The signing milter's role. Every keyring is in place before the first socket is opened: a mail server that meets a closed socket asks its
 * sender to try again, one that met a milter without keys would not know that mail goes out unsigned.
 */
import type { Clock } from '../lifecycle/clock.ts';
import { createKeyringBook } from '../signers/keyring-book.ts';
import { type MilterServer, startMilter } from '../signers/milter/server.ts';
import { createMilterSigner } from '../signers/milter/signer.ts';
import type { Signer } from '../signers/signer.ts';
import type { Store } from '../store/store.ts';
import type { Config } from './config/schema.ts';
import { toKeyring } from './keyring.ts';
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
  for await (const stored of store.keyrings()) {
    try {
      keyrings.put(toKeyring(stored));
    } catch (error) {
      // Without its keys the domain's mail is put off, not passed: an empty keyring that must sign says so to the milter.
      log.error('keyring-not-loaded', { domain: stored.domain, error: errorText(error) });
      const streams = Object.fromEntries(stored.streams.map(({ name }) => [name, []]));
      keyrings.put({ domain: stored.domain, generation: stored.generation, mustSign: stored.mustSign, streams });
    }
  }
  const server = await startMilter({
    listen: config.listen,
    keyrings,
    socketMode: Number.parseInt(config.socketMode, 8),
    allow: config.allow,
    internal: config.internal,
    signSubdomains: config.signSubdomains,
    onFailure: config.onFailure,
    streams: config.streams,
    clock,
    log: (level, message) => log[level]('milter', { message: typeof message === 'string' ? message : message() }),
  });
  const signer = createMilterSigner({ id, keyrings, core: server.core });
  return { signer, server, stop: () => server.stop() };
}
