/** Keyrings as they are kept: what of an item outlives the moment. */
import { createHash } from 'node:crypto';
import type { FeedKeyring } from '../../../store/keyring/feed.ts';
import type { KeyringItem } from '../wire.ts';

/** What is kept of an item: what the control plane decided, or waits for, is of the moment. */
export function toRecord({ domain, born, generation, mustSign, streams, others }: KeyringItem): FeedKeyring {
  const keys = Object.entries(streams).map(([stream, its]) => [
    stream,
    its.map(({ pkcs8, ...key }) => ({ ...key, pkcs8: new Uint8Array(Buffer.from(pkcs8, 'base64')) })),
  ]);
  return { kind: 'keyring', domain, born, generation, mustSign, streams: Object.fromEntries(keys), others };
}

/** Equal for equal content. */
export function digestOf({ domain, born, generation, mustSign, streams, others = [] }: FeedKeyring): string {
  const hash = createHash('sha256');
  hash.update(
    JSON.stringify([
      domain,
      born,
      generation,
      mustSign,
      others.map(({ selector, publicKey, state }) => [selector, publicKey, state]),
    ]),
  );
  for (const [stream, keys] of Object.entries(streams)) {
    hash.update(JSON.stringify([stream, keys.length]));
    for (const { selector, algorithm, entered, pkcs8 } of keys)
      hash.update(JSON.stringify([selector, algorithm, entered, pkcs8.length])).update(pkcs8);
  }
  return hash.digest('base64');
}
