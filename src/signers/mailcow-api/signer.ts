/**
 * mailcow through its API alone. mailcow signs a domain with one key; the next one is made on a helper domain, and copied over the mail
 * domain when its turn has come. Nothing is deleted before something else stands in its place, and everything is read back.
 */
import { publicKeyFromData } from '../../dkim/key-pair.ts';
import type { Keyring, OtherKey } from '../keyring.ts';
import type { SignerDependencies } from '../kind.ts';
import { isOurs, isWithdrawn, type Wanted, wantedKey } from '../one-key.ts';
import type { RspamdProbe } from '../rspamd-test.ts';
import type { Delivery, FoundKey, Inspection, MadeKey, SelfTest, Signer } from '../signer.ts';
import { createTurns } from '../turns.ts';
import { checkHalves, checkSelector, made } from './checks.ts';
import type { MailcowClient, MailcowKey } from './client.ts';
import { createMemory, type Remembered } from './memory.ts';
import { createShadows, type ShadowSettings, type Shadows } from './shadows.ts';

export interface MailcowSignerOptions {
  readonly client: MailcowClient;
  readonly shadows: ShadowSettings;
  /** Keys are made by Keyturn and handed over by `add/dkim_import`: mailcow's API log then holds them. */
  readonly importKeys: boolean;
  /** Has mailcow's rspamd sign test messages; null where only what mailcow shows is gone by. */
  readonly probe: RspamdProbe | null;
}

/** A key that was made and never heard of again is taken away after so long, milliseconds: no look takes a day. */
const abandonedAfter = 86_400_000;

export function createMailcowSigner(
  { client, shadows: shadowSettings, importKeys, probe }: MailcowSignerOptions,
  { id, clock, log, folder }: SignerDependencies,
): Signer {
  const memory = createMemory(folder);
  const shadows = createShadows(client, shadowSettings, { memory, clock });
  const turns = createTurns(clock);

  return {
    id,
    kind: 'mailcow-api',
    abilities: { algorithms: ['rsa'], atMost: 1 },
    deliver: (keyring) => turns.of(keyring.domain, () => deliver(keyring)),
    selfTest: (domain, _stream, selector) => selfTest(domain, selector),
    inspect: (keyring) => turns.of(keyring.domain, () => inspect(keyring)),
    found,
    forget: (domain, ours) => turns.of(domain, () => forget(domain, ours)),
    ...(importKeys ? {} : { makeKey: (domain, wanted) => turns.sparing(domain, () => makeKey(domain, wanted)) }),
    async close() {
      client.close();
    },
  };

  async function makeKey(
    domain: string,
    { selector, bits }: { readonly selector: string; readonly bits: number },
  ): Promise<MadeKey> {
    checkSelector(selector, domain);
    const interrupted = await shadows.find(domain, { selector });
    if (interrupted !== null) return made(interrupted.key, domain, bits);
    const shadow = await shadows.free(domain);
    shadows.note(domain, shadow, selector);
    const trouble = await attempt(() => client.makeKey(shadow, selector, bits));
    const key = await client.key(shadow);
    if (key === null || key.selector !== selector)
      throw new Error(
        `mailcow made no key ${selector} on ${shadow} for ${domain}: ${trouble ?? 'it said that it did, and shows none.'}`,
      );
    log('info', 'key-made-at-mailcow', { domain, shadow, selector });
    return made(key, domain, bits);
  }

  async function deliver(keyring: Keyring): Promise<Delivery> {
    const { domain, generation } = keyring;
    try {
      const before = memory.get(domain);
      if (before.generation > generation) return { kind: 'acknowledged', generation: before.generation };
      const wanted = wantedKey(keyring, 'mailcow');
      if (wanted.kind === 'refused') return { kind: 'failed', message: wanted.message };
      if (wanted.kind === 'nothing-yet') return { kind: 'acknowledged', generation };
      checkSelector(wanted.selector, domain);
      const present = await client.key(domain);
      if (!isSame(present, wanted)) {
        const foreign = present !== null && !isOurs(present, keyring, before);
        if (foreign && keyring.overwrite !== true) return { kind: 'drifted', message: foreignKey(domain, present) };
        if (present !== null) await keepCopy(domain, present);
        const source = await sourceOf(domain, wanted);
        const trouble = await attempt(() => client.duplicate(source, domain));
        const now = await client.key(domain);
        if (!isSame(now, wanted))
          return {
            kind: 'failed',
            message: `mailcow does not sign ${domain} with ${wanted.selector}, though it was copied from ${source}: ${trouble ?? 'it said that it did, and shows another key.'}`,
          };
        checkHalves(now, domain);
        log('info', 'key-copied-in-mailcow', { domain, from: source, selector: wanted.selector });
      } else checkHalves(present, domain);
      memory.put(domain, { generation, selector: wanted.selector, publicKey: wanted.publicKey });
      return { kind: 'acknowledged', generation };
    } catch (error) {
      return { kind: 'failed', message: textOf(error) };
    }
  }

  /** The helper domain that holds the wanted key; where keys are handed over, it is put there first. */
  async function sourceOf(domain: string, wanted: Wanted): Promise<string> {
    const held = await shadows.find(domain, wanted);
    if (held !== null) {
      checkHalves(held.key, held.shadow);
      return held.shadow;
    }
    if (!importKeys || wanted.privateKey === null)
      throw new Error(
        `No helper domain of ${domain} in mailcow holds the key ${wanted.selector}: rotate, so that mailcow makes another ("keyturn key rotate ${domain}")${wanted.privateKey === null ? '' : ', or let this signer hand keys over (importKeys: true)'}.`,
      );
    const shadow = await shadows.free(domain);
    shadows.note(domain, shadow, wanted.selector);
    const pem = wanted.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const trouble = await attempt(() => client.importKey(shadow, wanted.selector, pem));
    if (!isSame(await client.key(shadow), wanted))
      throw new Error(
        `mailcow did not take the key ${wanted.selector} on ${shadow}: ${trouble ?? 'it said that it did, and shows another key.'}`,
      );
    return shadow;
  }

  /**
   * Before the mail domain's key is written over it is kept on a helper domain: the API could not bring it back otherwise. Where there is
   * no room for it the rotation goes on, for the new key is proved; only the way back is lost.
   */
  async function keepCopy(domain: string, present: MailcowKey): Promise<void> {
    if ((await shadows.find(domain, present)) !== null) return;
    try {
      const shadow = await shadows.free(domain);
      shadows.note(domain, shadow, present.selector);
      await client.duplicate(domain, shadow);
      if (isSame(await client.key(shadow), present)) return;
      log('warn', 'old-key-not-kept', { domain, selector: present.selector, error: `${shadow} shows another key` });
    } catch (error) {
      log('warn', 'old-key-not-kept', { domain, selector: present.selector, error: textOf(error) });
    }
  }

  /** mailcow's API signs no message on demand: without a way to its rspamd, what it shows is all that can be known. */
  async function selfTest(domain: string, selector: string): Promise<SelfTest> {
    try {
      const expected = memory.get(domain);
      const present = await client.key(domain);
      if (present === null || present.selector !== selector || expected.selector !== selector)
        return {
          kind: 'failed',
          message: `mailcow signs ${domain} with ${present === null ? 'no key' : present.selector}, not with ${selector}.`,
        };
      if (present.publicKey !== expected.publicKey)
        return { kind: 'failed', message: `mailcow shows another public key under ${selector} of ${domain}.` };
      checkHalves(present, domain);
      if (probe === null) return { kind: 'signed' };
      const key = publicKeyFromData('rsa', present.publicKey);
      if (!key.ok) return { kind: 'failed', message: `mailcow shows no usable public key for ${domain}.` };
      return await probe.test(domain, selector, key.key);
    } catch (error) {
      return { kind: 'failed', message: textOf(error) };
    }
  }

  async function inspect(keyring: Keyring): Promise<Inspection> {
    const { domain } = keyring;
    const wanted = wantedKey(keyring, 'mailcow');
    if (wanted.kind === 'refused') return { kind: 'unknown', message: wanted.message };
    if (wanted.kind === 'nothing-yet') return { kind: 'as-delivered' };
    let present: MailcowKey | null;
    try {
      present = await client.key(domain);
      if (present === null)
        return { kind: 'lost', message: `mailcow has no key for ${domain} any more: its mail goes unsigned.` };
      if (isWithdrawn(present, keyring))
        return {
          kind: 'lost',
          message: `mailcow signs ${domain} with ${present.selector} again, whose record is withdrawn: was a backup put back?`,
        };
      if (!isSame(present, wanted)) return { kind: 'changed', message: foreignKey(domain, present) };
    } catch (error) {
      return { kind: 'unknown', message: textOf(error) };
    }
    try {
      checkHalves(present, domain);
    } catch (error) {
      return { kind: 'changed', message: textOf(error) };
    }
    try {
      await clearLeftovers(keyring, wanted);
    } catch (error) {
      log('warn', 'leftovers-not-cleared', { domain, error: textOf(error) });
    }
    return { kind: 'as-delivered' };
  }

  /** Keys on helper domains that can never be wanted again, and those that an interruption left; only what we put there ourselves. */
  async function clearLeftovers(keyring: Keyring, wanted: Wanted): Promise<void> {
    const { domain, others = [] } = keyring;
    const { placed } = memory.get(domain);
    if (placed.length === 0) return;
    const closed = others.filter(({ state }) => state === 'revoked' || state === 'removed');
    const alive = [wanted, ...others.filter((other) => !closed.includes(other)), ...activeOf(keyring)];
    for (const held of await shadows.all(domain)) {
      const { selector, publicKey } = held.key;
      if (alive.some((key) => key.selector === selector)) continue;
      const over = closed.some((key) => key.selector === selector && key.publicKey === publicKey);
      const at = placed.find((each) => each.shadow === held.shadow)?.at ?? Number.POSITIVE_INFINITY;
      if (!over && clock.now() - at < abandonedAfter) continue;
      if (await shadows.clear(domain, held)) log('info', 'key-cleared-at-mailcow', { domain, ...named(held) });
    }
  }

  async function found(domain: string): Promise<readonly FoundKey[]> {
    const present = await client.key(domain);
    const kept = await shadows.all(domain);
    const used = present === null ? [] : [{ ...present, inUse: true }];
    const spare = kept.filter(({ key }) => !isSame(present, key)).map(({ key }) => ({ ...key, inUse: false }));
    return [...used, ...spare].map(({ selector, privateKey, inUse }) => ({ selector, privateKey, inUse }));
  }

  /** The domain's mail is no longer ours to sign: a key of ours must not go on signing once its record is withdrawn. */
  async function forget(domain: string, ours: readonly OtherKey[] = []): Promise<void> {
    const before = memory.get(domain);
    if (before.generation === 0 && before.placed.length === 0 && ours.length === 0) return;
    const present = await client.key(domain);
    if (present !== null && (isRemembered(present, before) || ours.some((key) => isSame(present, key)))) {
      const trouble = await attempt(() => client.deleteKey(domain));
      if (await client.key(domain))
        throw new Error(
          `mailcow still signs ${domain} with ${present.selector}: ${trouble ?? 'it did not delete it.'}`,
        );
    }
    for (const held of await shadows.all(domain)) await shadows.clear(domain, held);
    memory.forget(domain);
  }
}

function named({ shadow, key }: Awaited<ReturnType<Shadows['all']>>[number]): { shadow: string; selector: string } {
  return { shadow, selector: key.selector };
}

function activeOf({ streams, held = {} }: Keyring): Array<{ readonly selector: string }> {
  return [...Object.values(streams).flat(), ...Object.values(held).flat()];
}

function isSame(
  present: MailcowKey | null,
  wanted: { readonly selector: string; readonly publicKey: string },
): present is MailcowKey {
  return present !== null && present.selector === wanted.selector && present.publicKey === wanted.publicKey;
}

function isRemembered(present: MailcowKey, { selector, publicKey }: Remembered): boolean {
  return present.selector === selector && present.publicKey === publicKey;
}

function foreignKey(domain: string, { selector }: MailcowKey): string {
  return `mailcow signs ${domain} with the key ${selector === '' ? '(without a selector)' : selector}, which somebody else put there.`;
}

/** What went wrong in words, or null. A write that was cut off may have taken effect: whoever asks reads back. */
async function attempt(write: () => Promise<void>): Promise<string | null> {
  try {
    await write();
    return null;
  } catch (error) {
    return textOf(error);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
