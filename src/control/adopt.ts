/** Takes over what somebody put at a signer by hand: its key becomes one of the domain's, and signs on. */
import { randomUUID } from 'node:crypto';
import { importPrivateKey } from '../dkim/import-key.ts';
import { publicKeyData } from '../dkim/key-pair.ts';
import { keyOfSelector } from '../lifecycle/facts.ts';
import type { KeyView, Outcome, Snapshot } from '../lifecycle/types.ts';
import type { FoundKey, Signer } from '../signers/signer.ts';
import type { NewSecret } from '../store/store.ts';
import { errorText } from './log.ts';
import { type OperationResult, type Operator, operate } from './operations.ts';

export type AdoptResult =
  | (Extract<OperationResult, { kind: 'done' }> & { readonly adopted: readonly string[] })
  | Exclude<OperationResult, { kind: 'done' }>
  /** Nothing was changed; `message` says why, and what to do. */
  | { readonly kind: 'not-adopted'; readonly message: string };

/**
 * Makes the keys that the signer uses for the domain, and that are not what it was given, the domain's own: a foreign one is imported
 * with its selector, one of ours is asked for. The signer is left as it is until they sign by the rules; then it is given the keyring
 * with them in it, in place of what was found.
 */
export async function adopt(operator: Operator, domain: string, signer: Signer): Promise<AdoptResult> {
  const stored = await operator.store.snapshot(domain);
  if (stored === null) return { kind: 'unknown-domain' };
  const view = stored.snapshot.signers.find(({ id }) => id === signer.id);
  if (view === undefined) return { kind: 'refused', why: 'unknown-signer' };
  const no = (message: string): AdoptResult => ({ kind: 'not-adopted', message });
  if (view.drift === undefined)
    return no(`Nothing was found at ${signer.id} for ${domain} that it was not given: there is nothing to adopt.`);
  if (signer.found === undefined)
    return no(
      `A signer of the kind ${signer.kind} does not tell which keys it has. Import the key with "keyturn domain import ${domain} --selector SELECTOR --key FILE", or put the keyring back with "keyturn signer restore ${domain} ${signer.id}".`,
    );
  let found: readonly FoundKey[];
  try {
    found = await signer.found(domain);
  } catch (error) {
    return no(`Asking ${signer.id} for the keys of ${domain} failed: ${errorText(error)}. Try again when it answers.`);
  }
  const inUse = found.filter((key) => key.inUse);
  if (inUse.length === 0)
    return no(
      `${signer.id} signs ${domain} with no key at all: put its keyring back with "keyturn signer restore ${domain} ${signer.id}".`,
    );
  const stream = view.streams.includes('default') ? 'default' : (view.streams[0] ?? 'default');
  const read = inUse.map((key) => readFound(key, stream));
  const bad = read.find((each) => each.kind === 'bad');
  if (bad?.kind === 'bad') return no(`The key ${bad.selector} at ${signer.id} cannot be used: ${bad.message}.`);
  const hidden = read.filter(({ kind, selector }) => kind === 'hidden' && oursOf(stored.snapshot, selector) === null);
  if (hidden.length > 0) {
    const names = hidden.map(({ selector }) => selector).join(', ');
    return no(
      `${signer.id} signs ${domain} with ${names} and does not give the private half away. Where you have it, import it with "keyturn domain import ${domain} --selector ${hidden[0]?.selector} --key FILE" and adopt again; else put the keyring back with "keyturn signer restore ${domain} ${signer.id}".`,
    );
  }
  let adopted: readonly string[] = [];
  const secrets = read.flatMap((each): readonly NewSecret[] =>
    each.kind === 'read' && oursOf(stored.snapshot, each.selector, each.key.publicKey) === null ? [each.secret] : [],
  );
  const result = await operate(
    operator,
    domain,
    ({ snapshot }, at) => {
      const outcomes: Outcome[] = [];
      const ids: string[] = [];
      for (const each of read) {
        const publicKey = each.kind === 'read' ? each.key.publicKey : undefined;
        const ours = oursOf(snapshot, each.selector, publicKey);
        if (ours === null && each.kind === 'read')
          outcomes.push({ kind: 'key-imported', at, key: { ...each.key, ownership: 'ours' } });
        const id = ours?.id ?? (each.kind === 'read' ? each.key.id : '');
        if (ours?.state !== 'active' && ours?.wanted === undefined)
          outcomes.push({ kind: 'key-wanted', at, keyId: id });
        ids.push(id);
      }
      adopted = read.map(({ selector }) => selector);
      return [...outcomes, { kind: 'drift-adopted', at, signerId: signer.id, keyIds: ids }];
    },
    secrets,
  );
  return result.kind === 'done' ? { ...result, adopted } : result;
}

type Read =
  | { readonly kind: 'hidden'; readonly selector: string }
  | { readonly kind: 'bad'; readonly selector: string; readonly message: string }
  | {
      readonly kind: 'read';
      readonly selector: string;
      readonly key: Pick<KeyView, 'id' | 'stream' | 'selector' | 'algorithm' | 'bits' | 'publicKey'>;
      readonly secret: NewSecret;
    };

/** What stands at a signer was written by anybody: a selector goes on into names of records, files and tables. */
const usableSelector = /^(?!.*\.\.)[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,200}[A-Za-z0-9_])?$/;

function readFound({ selector, privateKey }: FoundKey, stream: string): Read {
  if (!usableSelector.test(selector))
    return {
      kind: 'bad',
      selector: JSON.stringify(selector.slice(0, 80)),
      message: 'its selector is none: letters, digits, dots, hyphens and underscores are what it may have',
    };
  if (privateKey === null) return { kind: 'hidden', selector };
  const imported = importPrivateKey(privateKey);
  if (!imported.ok) return { kind: 'bad', selector, message: imported.error.message };
  const { algorithm, bits, privateKey: key } = imported.pair;
  const id = randomUUID();
  return {
    kind: 'read',
    selector,
    key: { id, stream, selector, algorithm, bits, publicKey: publicKeyData(key) },
    secret: { keyId: id, from: 'der', pkcs8: new Uint8Array(key.export({ type: 'pkcs8', format: 'der' })) },
  };
}

/** Our key under the selector, where it is the same one (as far as can be told) and not at its end. */
function oursOf(snapshot: Snapshot, selector: string, publicKey?: string): KeyView | null {
  const key = keyOfSelector(snapshot, selector);
  if (key === undefined || key.ownership === 'external' || key.state === 'revoked' || key.state === 'removed')
    return null;
  return publicKey === undefined || publicKey === key.publicKey ? key : null;
}
