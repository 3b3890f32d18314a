/**
 * Amazon SES with keys that are given to it (BYODKIM). SES signs a domain with one key, and with a new one once it has seen the record in
 * DNS itself: until its status says so the key is not acknowledged. SES shows the selector, never the key.
 */
import { z } from 'zod';
import { createDomainMemory } from '../domain-memory.ts';
import type { Keyring, OtherKey } from '../keyring.ts';
import type { SignerDependencies } from '../kind.ts';
import { type Wanted, wantedKey } from '../one-key.ts';
import type { Delivery, FoundKey, Inspection, SelfTest, Signer } from '../signer.ts';
import { createTurns } from '../turns.ts';
import type { SesClient, SesIdentity, SesKey } from './client.ts';

export interface SesSignerOptions {
  readonly client: SesClient;
  /** Adds identities that SES does not have. */
  readonly createIdentities: boolean;
}

const remembered = z.object({
  generation: z.number(),
  selector: z.string().nullable(),
  publicKey: z.string().nullable(),
});

/** RSA, 1024 to 2048 bits: what SES takes. */
const longestKey = 2048;

export function createSesSigner(
  { client, createIdentities }: SesSignerOptions,
  { id, clock, log, folder }: SignerDependencies,
): Signer {
  const memory = createDomainMemory(folder, remembered, { generation: 0, selector: null, publicKey: null });
  const turns = createTurns(clock);

  return {
    id,
    kind: 'ses',
    abilities: { algorithms: ['rsa'], atMost: 1 },
    deliver: (keyring) => turns.of(keyring.domain, () => deliver(keyring)),
    selfTest,
    inspect: (keyring) => turns.of(keyring.domain, () => inspect(keyring)),
    found,
    forget: (domain, ours) => turns.of(domain, () => forget(domain, ours)),
  };

  async function deliver(keyring: Keyring): Promise<Delivery> {
    const { domain, generation } = keyring;
    try {
      const before = memory.get(domain);
      if (before.generation > generation) return { kind: 'acknowledged', generation: before.generation };
      const wanted = wantedKey(keyring, 'Amazon SES');
      if (wanted.kind === 'refused') return { kind: 'failed', message: wanted.message };
      if (wanted.kind === 'nothing-yet') return { kind: 'acknowledged', generation };
      const present = await client.identity(domain);
      if (present === null && !createIdentities)
        return {
          kind: 'failed',
          message: `Amazon SES has no identity ${domain} in this region: add it there, or set createIdentities: true for this signer.`,
        };
      if (present !== null && !isOurs(present, keyring, before.selector) && keyring.overwrite !== true) {
        const foreign = foreignSigning(domain, present);
        if (foreign !== null) return { kind: 'drifted', message: foreign };
      }
      if (present === null) await client.create(domain, sesKey(wanted, domain));
      else if (needsKey(present, wanted, before)) await client.putKey(domain, sesKey(wanted, domain));
      memory.put(domain, { selector: wanted.selector, publicKey: wanted.publicKey });
      return await settle(domain, generation, wanted);
    } catch (error) {
      return { kind: 'failed', message: textOf(error) };
    }
  }

  /** What SES says now of the key that it was given. */
  async function settle(domain: string, generation: number, wanted: Wanted): Promise<Delivery> {
    const now = await client.identity(domain);
    if (now === null || !hasSelector(now, wanted.selector))
      return {
        kind: 'failed',
        message: `Amazon SES does not show the selector ${wanted.selector} for ${domain}, though it took the key.`,
      };
    if (!now.signingEnabled) await client.setSigning(domain, true);
    switch (now.status) {
      case 'SUCCESS':
        memory.put(domain, { generation });
        log('info', 'key-verified-by-ses', { domain, selector: wanted.selector });
        return { kind: 'acknowledged', generation };
      case 'FAILED':
        return {
          kind: 'failed',
          message: `Amazon SES did not find the record of ${wanted.selector}._domainkey.${domain} in DNS for 72 hours and gave up: it is handed over again. See that resolvers of the world find it ("keyturn check ${domain} ${wanted.selector}").`,
        };
      default:
        return {
          kind: 'pending',
          message: `Amazon SES has the key ${wanted.selector} of ${domain} and looks for its record in DNS (${now.status}); it signs with it once it has seen it, usually within minutes, at most within 72 hours.`,
        };
    }
  }

  async function selfTest(domain: string, _stream: string, selector: string): Promise<SelfTest> {
    try {
      const now = await client.identity(domain);
      if (now !== null && hasSelector(now, selector) && now.status === 'SUCCESS' && now.signingEnabled)
        return { kind: 'signed' };
      return {
        kind: 'failed',
        message: `Amazon SES does not sign ${domain} with ${selector}: ${now === null ? 'it has no such identity' : describe(now)}.`,
      };
    } catch (error) {
      return { kind: 'failed', message: textOf(error) };
    }
  }

  async function inspect(keyring: Keyring): Promise<Inspection> {
    const { domain } = keyring;
    const wanted = wantedKey(keyring, 'Amazon SES');
    if (wanted.kind === 'refused') return { kind: 'unknown', message: wanted.message };
    if (wanted.kind === 'nothing-yet') return { kind: 'as-delivered' };
    let now: SesIdentity | null;
    try {
      now = await client.identity(domain);
    } catch (error) {
      return { kind: 'unknown', message: textOf(error) };
    }
    if (now === null) return { kind: 'lost', message: `Amazon SES has no identity ${domain} any more.` };
    if (!hasSelector(now, wanted.selector))
      return {
        kind: 'changed',
        message: `Somebody changed the DKIM key of ${domain} at Amazon SES: ${describe(now)}.`,
      };
    if (!now.signingEnabled)
      return {
        kind: 'changed',
        message: `Somebody switched DKIM off for ${domain} at Amazon SES: its mail goes unsigned.`,
      };
    if (now.status === 'FAILED')
      return {
        kind: 'lost',
        message: `Amazon SES no longer finds the record of ${wanted.selector} of ${domain}, and has stopped signing with it.`,
      };
    return { kind: 'as-delivered' };
  }

  /**
   * The domain's mail is no longer ours to sign: the record of the last key will be withdrawn, and SES must not go on signing with it. The
   * identity is its owner's, and stays.
   */
  async function forget(domain: string, ours: readonly OtherKey[] = []): Promise<void> {
    const last = memory.get(domain).selector;
    const selectors = [...(last === null ? [] : [last]), ...ours.map((key) => key.selector)];
    const now = selectors.length === 0 ? null : await client.identity(domain);
    const selector = selectors.find((each) => now !== null && hasSelector(now, each));
    if (now !== null && selector !== undefined) {
      if (now.signingEnabled) await client.setSigning(domain, false);
      log('warn', 'signing-switched-off-at-ses', {
        domain,
        selector,
        advice: 'turn to Easy DKIM, or delete the identity',
      });
    }
    memory.forget(domain);
  }

  /** SES gives no private key away. */
  async function found(domain: string): Promise<readonly FoundKey[]> {
    const now = await client.identity(domain);
    if (now === null || now.origin !== 'EXTERNAL') return [];
    return now.tokens.map((selector) => ({ selector, privateKey: null, inUse: now.status === 'SUCCESS' }));
  }
}

function hasSelector({ origin, tokens }: SesIdentity, selector: string): boolean {
  return origin === 'EXTERNAL' && tokens.length === 1 && tokens[0] === selector;
}

/** The selector that SES has is one that we gave it: the last one, or one that signs or has just left. */
function isOurs({ origin, tokens }: SesIdentity, { streams, others = [] }: Keyring, last: string | null): boolean {
  const [selector] = tokens;
  if (origin !== 'EXTERNAL' || selector === undefined) return false;
  const ours = [
    ...Object.values(streams).flat(),
    ...others.filter(({ state }) => state === 'retiring' || state === 'revoked'),
  ];
  return selector === last || ours.some((key) => key.selector === selector);
}

/** What somebody else set up, and what writing over it would do; null where it signs nothing and may go. */
function foreignSigning(domain: string, present: SesIdentity): string | null {
  if (present.origin === 'AWS_SES') {
    if (present.status !== 'SUCCESS' && present.status !== 'TEMPORARY_FAILURE') return null;
    return `Amazon SES signs ${domain} with keys of its own (Easy DKIM). When it is given another key it signs with neither until it has seen the new record, so that mail may leave unsigned for some minutes.`;
  }
  return `Amazon SES has the key ${present.tokens.join(', ')} for ${domain}, which somebody else put there.`;
}

/**
 * SES has verified whatever stands under its selector against DNS, where the record is ours: with SUCCESS it has our key. Otherwise it is
 * given it, but not again while it is looking, which would begin its search anew.
 */
function needsKey(
  present: SesIdentity,
  wanted: Wanted,
  before: { readonly selector: string | null; readonly publicKey: string | null },
): boolean {
  if (!hasSelector(present, wanted.selector)) return true;
  if (present.status === 'SUCCESS') return false;
  const given = before.selector === wanted.selector && before.publicKey === wanted.publicKey;
  return !given || present.status === 'FAILED' || present.status === 'NOT_STARTED';
}

function sesKey({ selector, privateKey }: Wanted, domain: string): SesKey {
  if (privateKey === null)
    throw new Error(
      `The private half of ${selector} of ${domain} lies at another signer: Amazon SES cannot be given it.`,
    );
  const bits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits > longestKey)
    throw new Error(
      `Amazon SES takes RSA keys of 1024 to ${longestKey} bits, and ${selector} of ${domain} has ${bits}: give the stream a policy with rsa-${longestKey}.`,
    );
  return { selector, privateKey: privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64') };
}

function describe({ origin, tokens, status, signingEnabled }: SesIdentity): string {
  const key = origin === 'AWS_SES' ? 'it uses Easy DKIM' : `it has the selector ${tokens.join(', ') || '(none)'}`;
  return `${key}, status ${status}${signingEnabled ? '' : ', DKIM switched off'}`;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
