/** From the store's keyring to what followers are told, and from there to the keyring that a signer in their process signs by. */
import type { Snapshot } from '../../lifecycle/types.ts';
import type { Keyring } from '../../signers/keyring.ts';
import type { FeedKeyring, FeedRecord } from '../../store/keyring/feed.ts';
import type { StoredKeyring } from '../../store/store.ts';
import { unparsedKey } from '../keyring.ts';

/** `snapshot` must not be newer than `stored`. */
export function toFeedRecord(stored: StoredKeyring, { domain, keys }: Snapshot): FeedRecord {
  const version = { domain: domain.name, born: domain.createdAt, generation: stored.generation };
  if (domain.removingAt !== null && !stored.streams.some((stream) => stream.keys.length > 0)) {
    return { kind: 'removed', ...version };
  }
  const entered = new Map(keys.map((key) => [key.selector, key.enteredGeneration ?? 0]));
  const streams = stored.streams.map((stream) => [
    stream.name,
    stream.keys.flatMap(({ selector, algorithm, pkcs8 }) =>
      pkcs8 === null
        ? []
        : [
            {
              selector,
              algorithm: algorithm === 'rsa' ? ('rsa-sha256' as const) : ('ed25519-sha256' as const),
              // A key that entered between the two readings entered last.
              entered: entered.get(selector) || stored.generation,
              pkcs8,
            },
          ],
    ),
  ]);
  return { kind: 'keyring', ...version, mustSign: stored.mustSign, streams: Object.fromEntries(streams) };
}

/** Keys are parsed when they are first used. */
export function fromFeed({ domain, generation, mustSign, streams, others, overwrite }: FeedKeyring): Keyring {
  const keys = Object.entries(streams).map(([name, list]) => [
    name,
    list.map(({ pkcs8, ...key }) => unparsedKey(key, pkcs8)),
  ]);
  return {
    domain,
    generation,
    mustSign,
    streams: Object.fromEntries(keys),
    ...(others === undefined ? {} : { others }),
    ...(overwrite === undefined ? {} : { overwrite }),
  };
}
