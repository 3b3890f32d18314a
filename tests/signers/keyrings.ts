/** Keyrings and dependencies for tests of signers without the rest of the program. */
import type { KeyObject } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { generateKeyPair, publicKeyData } from '../../src/dkim/key-pair.ts';
import { systemClock } from '../../src/lifecycle/clock.ts';
import type { Keyring, KeyringKey, OtherKey } from '../../src/signers/keyring.ts';
import type { SignerDependencies } from '../../src/signers/kind.ts';
import type { TempDir } from '../support/temp.ts';

export interface TestKey extends KeyringKey {
  readonly publicKey: string;
}

export async function makeKey(selector: string, algorithm: 'rsa' | 'ed25519' = 'rsa'): Promise<TestKey> {
  const { privateKey, publicKey } = await generateKeyPair(
    algorithm === 'rsa' ? { algorithm, bits: 2048 } : { algorithm },
  );
  return { ...keyOf(selector, privateKey), publicKey: publicKeyData(publicKey) };
}

function keyOf(selector: string, privateKey: KeyObject): KeyringKey {
  return { selector, algorithm: privateKey.asymmetricKeyType === 'rsa' ? 'rsa-sha256' : 'ed25519-sha256', privateKey };
}

export function keyringOf(
  domain: string,
  generation: number,
  keys: readonly KeyringKey[] | Readonly<Record<string, readonly KeyringKey[]>>,
  more: Partial<Keyring> = {},
): Keyring {
  const streams = Array.isArray(keys) ? { default: keys } : (keys as Readonly<Record<string, readonly KeyringKey[]>>);
  return { domain, generation, mustSign: true, streams, others: [], ...more };
}

export function other({ selector, publicKey }: TestKey, state: OtherKey['state']): OtherKey {
  return { selector, publicKey, state };
}

export interface TestDependencies extends SignerDependencies {
  /** Everything that was logged. */
  readonly logged: string[];
}

export function dependenciesIn(dir: TempDir, id = 'test@one'): TestDependencies {
  const folder = dir.join('state');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const logged: string[] = [];
  return {
    id,
    clock: systemClock,
    log: (level, event, fields) => logged.push(`${level} ${event} ${JSON.stringify(fields)}`),
    folder,
    readSecret: (secret) => (typeof secret === 'string' ? secret : ''),
    path: (written) => (written.startsWith('/') ? written : dir.join(written)),
    logged,
  };
}
