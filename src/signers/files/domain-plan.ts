/** What is to become of one domain's files and lines: worked out from its keyring and from what was put there before. Pure. */
import { createPublicKey } from 'node:crypto';
import { publicKeyData } from '../../dkim/key-pair.ts';
import { type Keyring, type KeyringKey, latestKeys } from '../keyring.ts';
import { algorithmOf, algorithmOfPublicKey, type PlacedKey, placeKey } from './keys.ts';
import type { Layout } from './layout.ts';
import type { Entry } from './state.ts';
import type { DomainKeys } from './table.ts';

/** A key that signs, with its private half. */
export interface SigningKey extends PlacedKey {
  readonly source: KeyringKey;
}

export interface DomainPlan {
  readonly domain: string;
  readonly generation: number;
  /** Keys that sign, by stream; the latest first. */
  readonly signing: ReadonlyMap<string, readonly SigningKey[]>;
  /** What tables of signing keys should hold. */
  readonly wanted: DomainKeys;
  /** What tables of known keys should hold once nothing needs the leftovers; until then they hold `withLeftovers`. */
  readonly known: DomainKeys;
  readonly withLeftovers: DomainKeys;
  /** Every key of the domain that we have, or had: a line that names one of them is no stranger's. */
  readonly ever: DomainKeys;
  /** Keys whose files may go: they neither sign nor retire. */
  readonly leftovers: readonly PlacedKey[];
}

/** @throws Error where a key cannot be placed (a selector that is no file's name) or its private half cannot be read. */
export function planDomain(keyring: Keyring, entry: Entry | undefined, layout: Layout): DomainPlan {
  const { domain, generation } = keyring;
  const signing = new Map<string, readonly SigningKey[]>();
  for (const [stream, keys] of Object.entries(keyring.streams)) {
    const latest = latestKeys(keys, layout.abilities.atMost);
    if (latest.length > 0)
      signing.set(
        stream,
        latest.map((key) => placeSigning(domain, stream, key, layout)),
      );
  }
  const placed = placedBefore(entry);
  const signs = [...signing.values()].flat();
  const active = new Set(Object.values(keyring.streams).flatMap((keys) => keys.map(({ selector }) => selector)));
  const retiring = new Set(
    (keyring.others ?? []).filter(({ state }) => state === 'retiring').map(({ selector }) => selector),
  );
  const isNeeded = (key: PlacedKey): boolean =>
    signs.some(({ fingerprint }) => fingerprint === key.fingerprint) ||
    // A selector that is used again has another key now.
    ((active.has(key.selector) || retiring.has(key.selector)) &&
      !signs.some(({ selector }) => selector === key.selector));
  const kept = placed.filter((key) => !signs.some(({ file }) => file === key.file));
  const others = (keyring.others ?? []).map(({ selector, publicKey }) =>
    placeKey(layout.keyFile.path, {
      domain,
      stream: 'default',
      selector,
      algorithm: algorithmOfPublicKey(publicKey),
      publicKey,
    }),
  );
  return {
    domain,
    generation,
    signing,
    wanted: { domain, streams: signing },
    // Those that sign stand first: where two have one selector, a program takes the first.
    known: byStream(domain, [...signs, ...kept.filter(isNeeded)]),
    withLeftovers: byStream(domain, [...signs, ...kept]),
    ever: byStream(domain, [...signs, ...placed, ...others]),
    leftovers: kept.filter((key) => !isNeeded(key)),
  };
}

function placeSigning(domain: string, stream: string, source: KeyringKey, { keyFile }: Layout): SigningKey {
  const publicKey = publicKeyData(createPublicKey(source.privateKey));
  const { selector } = source;
  return { ...placeKey(keyFile.path, { domain, stream, selector, algorithm: algorithmOf(source), publicKey }), source };
}

/** The keys whose files we wrote. */
export function placedBefore(entry: Entry | undefined): PlacedKey[] {
  if (entry === undefined) return [];
  const { domain, keys } = entry;
  return Object.entries(keys).map(([fingerprint, key]) => ({ ...key, domain, fingerprint }));
}

/** Lines of known keys may name streams: what a key is known under is what it was placed under. */
export function byStream(domain: string, keys: readonly PlacedKey[]): DomainKeys {
  return { domain, streams: Map.groupBy(keys, ({ stream }) => stream) };
}

/** What is remembered once the plan is begun. The keys of both the old and the new state are ours from here on. */
export function entryOf({ domain, generation, signing }: DomainPlan, before: Entry | undefined): Entry {
  const signs = [...signing.values()].flat();
  const keys = Object.fromEntries(
    signs.map(({ fingerprint, selector, algorithm, stream, file, publicKey }) => [
      fingerprint,
      { selector, algorithm, stream, file, publicKey },
    ]),
  );
  return {
    domain,
    asked: generation,
    loaded: before?.loaded ?? 0,
    streams: Object.fromEntries([...signing].map(([name, list]) => [name, list.map((key) => key.fingerprint)])),
    keys: { ...before?.keys, ...keys },
  };
}

/** The key with this fingerprint is one that the domain has, or had. */
export function isOfDomain(found: string | null, { ever }: DomainPlan): boolean {
  return [...ever.streams.values()].some((keys) => keys.some(({ fingerprint }) => fingerprint === found));
}

/** The keys that have files still: not those whose file holds a key that signs now. */
export function withoutReplaced({ keys }: Entry, { signing }: DomainPlan): Entry['keys'] {
  const signs = new Map([...signing.values()].flat().map(({ file, fingerprint }) => [file, fingerprint]));
  const isStanding = ([fingerprint, { file }]: [string, Entry['keys'][string]]): boolean =>
    (signs.get(file) ?? fingerprint) === fingerprint;
  return Object.fromEntries(Object.entries(keys).filter(isStanding));
}

/** For a domain that is to be signed no more: none of the keys that it had may sign. */
export function emptyPlan(domain: string, entry: Entry): DomainPlan {
  const none = byStream(domain, []);
  const ever = byStream(domain, placedBefore(entry));
  return {
    domain,
    generation: entry.asked,
    signing: new Map(),
    wanted: none,
    known: none,
    withLeftovers: none,
    ever,
    leftovers: [],
  };
}
