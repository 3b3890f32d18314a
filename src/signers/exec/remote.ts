/** A signer of somebody's own, spoken to by the protocol, whatever carries it. */
import { createPublicKey, randomUUID } from 'node:crypto';
import type { z } from 'zod';
import { exportPrivateKeyPem, publicKeyData, publicKeyFromData } from '../../dkim/key-pair.ts';
import type { SignerAbilities } from '../../lifecycle/types.ts';
import { algorithmOf, fingerprintOf } from '../files/keys.ts';
import { judge, probeMessage, readProbed } from '../files/probe.ts';
import { type Entry, openState } from '../files/state.ts';
import type { Keyring, KeyringKey } from '../keyring.ts';
import type { SignerDependencies } from '../kind.ts';
import type { Signer } from '../signer.ts';
import { type Asking, answers, protocolVersion, type Request } from './protocol.ts';

/** Carries one request. What comes back is JSON text. @throws Error in words, without key material, where nothing comes back */
export type Carrier = (request: Request) => Promise<string>;

export interface RemoteOptions {
  readonly kind: string;
  readonly abilities: SignerAbilities;
  /** What the signer can do beside delivering, forgetting and testing. */
  readonly supports: readonly ('inspect' | 'found')[];
  /** Requests under way at once. */
  readonly concurrency: number;
  readonly carry: Carrier;
}

export async function createRemoteSigner(
  { kind, abilities, supports, concurrency, carry }: RemoteOptions,
  { id, folder }: SignerDependencies,
): Promise<Signer> {
  const state = await openState(folder);
  const turn = takeTurns(concurrency);

  async function ask<A extends Asking['action']>(
    asking: Extract<Asking, { action: A }>,
  ): Promise<z.output<(typeof answers)[A]>> {
    const whole = { ...asking, protocol: protocolVersion, id: randomUUID(), signer: id } as unknown as Request;
    const text = await turn(() => carry(whole));
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      throw new Error(`its answer to ${asking.action} is not JSON`);
    }
    const read = answers[asking.action].safeParse(json);
    if (read.success) return read.data as z.output<(typeof answers)[A]>;
    const issue = read.error.issues[0];
    throw new Error(
      `its answer to ${asking.action} is none of the protocol: ${issue?.path.join('.') || 'it'}: ${issue?.message ?? ''}`,
    );
  }

  const signer: Signer = {
    id,
    kind,
    abilities,
    async deliver(keyring) {
      const { domain, generation, mustSign, streams } = keyring;
      const entry = state.get(domain);
      if (entry !== undefined && generation < entry.loaded) return { kind: 'acknowledged', generation: entry.loaded };
      if (Object.values(streams).every((keys) => keys.length === 0)) {
        if (!mustSign && entry === undefined) return { kind: 'acknowledged', generation };
        const message = `The keyring of ${domain} has no key that ${id} can sign with, so it keeps what it has.`;
        return { kind: 'failed', message };
      }
      try {
        await state.put(new Map([[domain, entryOf(keyring, entry)]]));
        const answer = await ask({ action: 'deliver', keyring: withPrivateKeys(keyring) });
        if (answer.result !== 'acknowledged') return { kind: answer.result, message: redact(answer.message) };
        if (answer.generation < generation) {
          const message = `${id} has generation ${answer.generation} of ${domain} and was given ${generation}.`;
          return { kind: 'pending', message };
        }
        const known = state.get(domain);
        if (known !== undefined) await state.put(new Map([[domain, { ...known, loaded: answer.generation }]]));
        return { kind: 'acknowledged', generation: answer.generation };
      } catch (error) {
        return { kind: 'failed', message: `Handing the keys of ${domain} to ${id} failed: ${textOf(error)}.` };
      }
    },
    async forget(domain) {
      const answer = await ask({ action: 'forget', domain }).catch((error) => {
        throw new Error(`Having ${id} forget ${domain} failed: ${textOf(error)}.`);
      });
      if (answer.result === 'failed') throw new Error(`${id} cannot forget ${domain}: ${redact(answer.message)}`);
      if (state.get(domain) !== undefined) await state.put(new Map([[domain, null]]));
    },
    async selfTest(domain, stream, selector) {
      const failed = (message: string) => ({ kind: 'failed', message }) as const;
      try {
        const message = probeMessage(domain, `postmaster@${domain}`, {}).toString('base64');
        const answer = await ask({ action: 'self-test', domain, stream, selector, message });
        if (answer.result === 'failed') return failed(redact(answer.message));
        return answer.message === undefined || (await isSignedBy(answer.message, domain, selector))
          ? { kind: 'signed' }
          : failed(`What ${id} gave back as signed by ${selector}._domainkey.${domain} does not verify.`);
      } catch (error) {
        return failed(`Having ${id} sign a test message of ${domain} failed: ${textOf(error)}.`);
      }
    },
  };

  async function isSignedBy(message: string, domain: string, selector: string): Promise<boolean> {
    const entry = state.get(domain);
    const key = Object.values(entry?.keys ?? {}).findLast((each) => each.selector === selector);
    // Another instance handed the key over: what it is like is not known here, and the signer's word has to do.
    if (key === undefined) return true;
    const read = publicKeyFromData(key.algorithm, key.publicKey);
    const probed = readProbed(Buffer.from(message, 'base64'));
    if (!read.ok || probed.kind !== 'came-back') return false;
    return judge(probed, domain, [{ selector, publicKey: read.key }]).missing.length === 0;
  }

  return {
    ...signer,
    ...(supports.includes('inspect') ? { inspect } : {}),
    ...(supports.includes('found') ? { found } : {}),
  };

  async function inspect(keyring: Keyring) {
    try {
      const answer = await ask({ action: 'inspect', keyring: withoutPrivateKeys(keyring) });
      return answer.result === 'as-delivered'
        ? ({ kind: 'as-delivered' } as const)
        : ({ kind: answer.result, message: redact(answer.message) } as const);
    } catch (error) {
      return { kind: 'unknown', message: `Inspecting ${keyring.domain} at ${id} failed: ${textOf(error)}.` } as const;
    }
  }

  async function found(domain: string) {
    return (await ask({ action: 'found', domain })).keys;
  }
}

function entryOf({ domain, generation, streams }: Keyring, before: Entry | undefined): Entry {
  const keys = Object.entries(streams).flatMap(([stream, list]) =>
    list.map((key) => {
      const publicKey = publicKeyData(createPublicKey(key.privateKey));
      const { selector } = key;
      return [
        fingerprintOf(publicKey),
        { stream, selector, algorithm: algorithmOf(key), publicKey, file: '' },
      ] as const;
    }),
  );
  const names = Object.entries(streams).map(([stream]) => [
    stream,
    keys.filter(([, key]) => key.stream === stream).map(([fingerprint]) => fingerprint),
  ]);
  return {
    domain,
    asked: generation,
    loaded: before?.loaded ?? 0,
    streams: Object.fromEntries(names),
    keys: Object.fromEntries(keys),
  };
}

function plainKey({ selector, algorithm, privateKey, entered = 0 }: KeyringKey) {
  return { selector, algorithm, publicKey: publicKeyData(createPublicKey(privateKey)), entered };
}

function plainKeyring<K>(
  { domain, generation, mustSign, overwrite, streams, others = [] }: Keyring,
  plain: (key: KeyringKey) => K,
) {
  return {
    domain,
    generation,
    mustSign,
    overwrite: overwrite === true,
    streams: Object.fromEntries(Object.entries(streams).map(([name, keys]) => [name, keys.map(plain)])),
    others: [...others],
  };
}

function withPrivateKeys(keyring: Keyring) {
  return plainKeyring(keyring, (key) => ({ ...plainKey(key), privateKey: exportPrivateKeyPem(key.privateKey) }));
}

function withoutPrivateKeys(keyring: Keyring) {
  return plainKeyring(keyring, plainKey);
}

/** What somebody's program says goes into logs and conditions: what looks like a key, or the rest of one, is taken out of it. */
export function redact(text: string): string {
  return text
    .replaceAll(/-----BEGIN [^-]*-----[\s\S]*?(?:-----END [^-]*-----|$)/g, '(a key)')
    .replace(/^[\s\S]*-----END [^-]*-----/, '(a key)')
    .replaceAll(/[A-Za-z0-9+/=_-]{40,}/g, '(left out)')
    .slice(0, 600);
}

function textOf(error: unknown): string {
  return redact(error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
}

function takeTurns(most: number): <T>(task: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await task();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
