/** What is checked of every key in mailcow before it is believed. */
import { createPrivateKey } from 'node:crypto';
import { publicKeyData, publicKeyFromData } from '../../dkim/key-pair.ts';
import type { MadeKey } from '../signer.ts';
import type { MailcowKey } from './client.ts';

/** @throws Error where mailcow's key is not what was asked for. */
export function made({ selector, publicKey, privateKey }: MailcowKey, domain: string, bits: number): MadeKey {
  const read = publicKeyFromData('rsa', publicKey);
  if (!read.ok || read.bits !== bits)
    throw new Error(
      `mailcow's key ${selector} for ${domain} is no RSA key of ${bits} bits${read.ok ? ` but one of ${read.bits}` : ''}: delete it on its helper domain in mailcow.`,
    );
  checkHalves({ publicKey, privateKey }, domain);
  return { publicKey, privateKey };
}

/** `selector.domain` names a private key in mailcow: a dot in the selector would make it the key of another domain. */
export function checkSelector(selector: string, domain: string): void {
  if (!/^[a-z0-9_-]{1,63}$/.test(selector))
    throw new Error(
      `mailcow cannot sign ${domain} under the selector ${selector}: letters, digits, hyphens and underscores are what it tells apart. Change the policy's selectorTemplate.`,
    );
}

/** @throws Error where mailcow shows a private half that is not the public one's. The error holds neither. */
export function checkHalves(
  { publicKey, privateKey }: Pick<MailcowKey, 'publicKey' | 'privateKey'>,
  domain: string,
): void {
  if (privateKey === null) return;
  let its: string | null;
  try {
    its = publicKeyData(createPrivateKey(privateKey));
  } catch {
    its = null;
  }
  if (its !== publicKey)
    throw new Error(
      `mailcow's private key for ${domain} ${its === null ? 'cannot be read' : 'is not the other half of the public key that it shows'}: mail would not verify, or go unsigned.`,
    );
}
