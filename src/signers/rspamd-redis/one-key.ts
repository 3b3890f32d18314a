/**
 * The layout with one key per domain (`selector_prefix`), mailcow's among them: rspamd reads the selector in use, then its private half, each
 * by itself. So the private half is there before the selector names it, and stays until nothing can have read the selector before.
 */
import type { SignerAbilities } from '../../lifecycle/types.ts';
import { type Keyring, latestKeys } from '../keyring.ts';
import type { SignerDependencies } from '../kind.ts';
import { rspamdKeyText } from '../rspamd-key-text.ts';
import { testReadBack } from '../rspamd-read-back.ts';
import type { RspamdProbe } from '../rspamd-test.ts';
import type { Delivery, FoundKey, Inspection, SelfTest, Signer } from '../signer.ts';
import type { RedisConnection } from './connection.ts';
import { createLossWatch, restoreAll } from './loss-watch.ts';
import { collision, sameField } from './one-field.ts';
import { oneKeyScripts } from './one-key-scripts.ts';
import {
  compare,
  digestOf,
  knownKeys,
  type Mark,
  many,
  type OneKeyHashes,
  type OneKeyState,
  publicHalf,
  readState,
  scanKeys,
  type Wanted,
  wantedOf,
} from './one-key-state.ts';

export interface OneKeyOptions {
  readonly kind: string;
  readonly abilities: SignerAbilities;
  readonly redis: RedisConnection;
  readonly hashes: OneKeyHashes;
  /** rspamd signs by one selector: the stream that it signs. */
  readonly stream: string;
  /** Replicas that must have taken a change before it counts. */
  readonly replicas: number;
  /** How often it is looked whether Redis lost everything, milliseconds. */
  readonly watchEvery: number;
  readonly probe: RspamdProbe | null;
}

interface Delivered {
  readonly keyring: Keyring;
  readonly wanted: Wanted;
  /** The private half in the form in which it stands there. A secret. */
  readonly text: string;
}

/** Times that a delivery begins anew because somebody wrote in between. */
const attempts = 3;
const replicaWait = 2000;

export function createOneKeySigner(
  options: OneKeyOptions,
  { id, log }: Pick<SignerDependencies, 'id' | 'log'>,
): Signer {
  const { kind, abilities, redis, hashes, stream, replicas, probe } = options;
  const scripts = oneKeyScripts(redis, hashes);
  const where = redis.name;
  const withPublic = hashes.publicKeys !== null;
  /** What is known to stand there, domain by domain: it is put back when Redis loses everything. */
  const delivered = new Map<string, Delivered>();
  const watch = createLossWatch({
    redis,
    marks: hashes.marks,
    every: options.watchEvery,
    log,
    restore,
  });

  /** In few calls, for mail leaves unsigned until it is done; what is not gone after all is looked at one by one. */
  async function restore(): Promise<number> {
    const all = [...delivered].map(([domain, { keyring, wanted, text }]) => {
      const keys = { [wanted.selector]: digestOf(wanted.publicKey) };
      return { domain, ...wanted, text, mark: { generation: keyring.generation, keys } };
    });
    const { done, rest } = await scripts.putBack(all);
    const others = rest.flatMap((domain) => delivered.get(domain)?.keyring ?? []);
    return done + (await restoreAll(others, put));
  }

  function remember(keyring: Keyring, wanted: Wanted, { privateKeys }: OneKeyState): void {
    const text = privateKeys.get(wanted.selector) ?? null;
    if (text !== null) delivered.set(keyring.domain, { keyring, wanted, text });
  }

  function chosen(keyring: Keyring): Wanted | null {
    const [key] = latestKeys(keyring.streams[stream] ?? [], 1);
    return key === undefined ? null : wantedOf(key);
  }

  async function put(keyring: Keyring): Promise<Delivery> {
    const { domain, generation } = keyring;
    const failed = (message: string): Delivery => ({ kind: 'failed', message });
    if (keyring.streams[stream] === undefined) return acknowledged(generation);
    const [key] = latestKeys(keyring.streams[stream], 1);
    if (key === undefined) {
      if (!keyring.mustSign) return acknowledged(generation);
      return failed(`${domain} must be signed and was handed over without a key: what stands at ${where} stays.`);
    }
    const wanted = wantedOf(key);
    const text = rspamdKeyText(key.privateKey);
    const refusal = await collision(redis, hashes, domain, wanted.selector);
    if (refusal !== null) return failed(refusal);
    for (let attempt = 0; attempt < attempts; attempt++) {
      const state = await readState(redis, hashes, domain, [wanted.selector]);
      if (state.mark !== null && state.mark.generation > generation) return acknowledged(state.mark.generation);
      const found = compare(state, wanted, keyring, where, withPublic);
      if (found.kind === 'foreign' && keyring.overwrite !== true) {
        // Parts are read one after the other: what another instance was just changing is not somebody else's.
        if (attempt === 0) continue;
        return { kind: 'drifted', message: found.message };
      }
      if (found.kind === 'right' && state.mark?.generation === generation) return confirmed(keyring, wanted);
      const staged = state.privateKeys.get(wanted.selector) ?? null;
      // A key that was taken over stays in the very form in which it stands there.
      const kept = staged !== null && publicHalf(staged) === wanted.publicKey ? staged : text;
      const keys = { ...(state.mark?.keys ?? {}), [wanted.selector]: digestOf(wanted.publicKey) };
      // Until the switch the old generation stands; whoever writes the domain's mark meanwhile makes this begin anew.
      const staging = JSON.stringify({ generation: state.mark?.generation ?? 0, keys } satisfies Mark);
      const mark = { domain, from: state.markText, to: staging };
      if ((await scripts.stage(mark, wanted.selector, kept, staged)) === 'changed') continue;
      const switched = JSON.stringify({ generation, keys } satisfies Mark);
      const { selector, publicKey } = wanted;
      const change = { selector, publicKey, text: kept, before: state };
      const done = await scripts.swap({ domain, from: staging, to: switched }, change);
      if (done === 'done') return confirmed(keyring, wanted);
    }
    return {
      kind: 'pending',
      message: `Somebody else is changing ${domain} at ${where} at this moment; tried again soon.`,
    };
  }

  /** What was written is read back, and is with the replicas, before it counts. */
  async function confirmed(keyring: Keyring, wanted: Wanted): Promise<Delivery> {
    const { domain, generation } = keyring;
    if (replicas > 0) {
      const took = Number(await redis.call('WAIT', replicas, replicaWait));
      if (took < replicas) {
        return {
          kind: 'pending',
          message: `${took} of ${replicas} replicas of ${where} have taken the change of ${domain}.`,
        };
      }
    }
    const state = await readState(redis, hashes, domain, [wanted.selector]);
    const found = compare(state, wanted, keyring, where, withPublic);
    if (found.kind !== 'right') return { kind: 'failed', message: `Read back after writing: ${found.message}` };
    remember(keyring, wanted, state);
    return acknowledged(state.mark?.generation ?? generation);
  }

  async function inspect(keyring: Keyring): Promise<Inspection> {
    const { domain } = keyring;
    const wanted = chosen(keyring);
    if (wanted === null) {
      // It left by another instance: nothing of it is put back when Redis loses everything.
      if (!keyring.mustSign) delivered.delete(domain);
      return { kind: 'as-delivered' };
    }
    try {
      let before = await readState(redis, hashes, domain, [wanted.selector]);
      let found = compare(before, wanted, keyring, where, withPublic);
      if (found.kind !== 'right') {
        // Once more: a delivery may have been in between.
        before = await readState(redis, hashes, domain, [wanted.selector]);
        found = compare(before, wanted, keyring, where, withPublic);
      }
      switch (found.kind) {
        case 'right':
          await tidy(keyring, wanted, before);
          if (before.mark !== null && before.mark.generation >= keyring.generation) remember(keyring, wanted, before);
          return { kind: 'as-delivered' };
        case 'lost':
          return { kind: 'lost', message: found.message };
        default:
          return { kind: 'changed', message: found.message };
      }
    } catch (error) {
      return { kind: 'unknown', message: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Takes away private halves that we put there, of keys whose mail has had its time. */
  async function tidy(keyring: Keyring, wanted: Wanted, { mark, markText }: OneKeyState): Promise<void> {
    if (mark === null) return;
    const { domain } = keyring;
    let from = markText;
    const over = new Map(
      (keyring.others ?? []).flatMap((key) =>
        key.state === 'revoked' || key.state === 'removed' ? [[key.selector, key] as const] : [],
      ),
    );
    const known = knownKeys(keyring);
    let keys = mark.keys;
    for (const [selector, digest] of Object.entries(mark.keys)) {
      const key = over.get(selector);
      if (key === undefined || selector === wanted.selector || digest !== digestOf(key.publicKey)) continue;
      const [text = null] = await many(redis, hashes.privateKeys, [`${selector}.${domain}`]);
      const { [selector]: _, ...rest } = keys;
      // What somebody else put in its place stays.
      const half = publicHalf(text);
      if (text !== null && (half === null || !known.get(selector)?.has(half))) continue;
      const to = JSON.stringify({ ...mark, keys: rest } satisfies Mark);
      if ((await scripts.drop({ domain, from, to }, selector, text)) === 'changed') return;
      keys = rest;
      from = to;
      log('info', 'private-key-taken-away', { domain, selector });
    }
  }

  async function forget(domain: string): Promise<void> {
    delivered.delete(domain);
    const state = await readState(redis, hashes, domain, []);
    const ours = Object.entries(state.mark?.keys ?? {});
    const texts =
      ours.length === 0
        ? []
        : await many(
            redis,
            hashes.privateKeys,
            ours.map(([selector]) => `${selector}.${domain}`),
          );
    for (const [index, [selector, digest]] of ours.entries()) {
      const text = texts[index] ?? null;
      const half = publicHalf(text);
      if (text !== null && half !== null && digestOf(half) === digest) await scripts.leave(domain, selector, text);
    }
    await redis.call('HDEL', hashes.marks, domain);
  }

  async function selfTest(domain: string, its: string, selector: string): Promise<SelfTest> {
    const failed = (message: string): SelfTest => ({
      kind: 'failed',
      message: `Testing ${selector}._domainkey.${domain}: ${message}`,
    });
    if (its !== stream) return failed(`${id} signs the stream "${stream}" alone; list it in its \`signs.streams\``);
    const key = delivered.get(domain)?.keyring.streams[its]?.find((each) => each.selector === selector);
    if (key === undefined) return failed(`it is not among the keys that were handed to ${id} last`);
    const wanted = wantedOf(key);
    if (probe !== null) return probe.test(domain, selector, wanted.key);
    try {
      const state = await readState(redis, hashes, domain, [selector]);
      if (state.selector !== selector) return failed(`${where} signs with ${state.selector ?? 'nothing'}`);
      return await testReadBack({ domain, selector }, state.privateKeys.get(selector) ?? null, wanted.key);
    } catch (error) {
      return failed(error instanceof Error ? error.message : String(error));
    }
  }

  async function found(domain: string): Promise<readonly FoundKey[]> {
    const texts = await scanKeys(redis, hashes.privateKeys, domain);
    const { selector: inUse } = await readState(redis, hashes, domain, []);
    const keys: FoundKey[] = [];
    for (const [selector, privateKey] of texts) {
      const longer = sameField(domain, selector).filter((other) => other.domain.length > domain.length);
      // The entry of a subdomain ends like one of ours.
      const theirs =
        longer.length === 0
          ? []
          : await many(
              redis,
              hashes.selectors,
              longer.map((other) => other.domain),
            );
      if (selector !== inUse && theirs.some((one) => one !== null)) continue;
      keys.push({ selector, privateKey, inUse: selector === inUse });
    }
    if (inUse !== null && !texts.has(inUse)) keys.push({ selector: inUse, privateKey: null, inUse: true });
    return keys;
  }

  return {
    id,
    kind,
    abilities,
    // Keyrings come by `deliver`: what is asked for here is that the watch begins.
    async load() {
      watch.start();
    },
    deliver: put,
    forget,
    selfTest,
    inspect,
    found,
    async close() {
      await watch.stop();
      redis.close();
    },
  };
}

function acknowledged(generation: number): Delivery {
  return { kind: 'acknowledged', generation };
}
