/** Takes over a key that signs already elsewhere, with its selector; the domain is added where it is not in care yet. */
import { randomUUID } from 'node:crypto';
import { importPrivateKey } from '../dkim/import-key.ts';
import { publicKeyData } from '../dkim/key-pair.ts';
import type { Outcome } from '../lifecycle/types.ts';
import type { NewSecret } from '../store/store.ts';
import type { Binding } from './bindings.ts';
import { addDomain, type OperationResult, type Operator, operate } from './operations.ts';
import { addShadow, reserveSelector } from './shadows.ts';

export interface KeyToImport {
  readonly domain: string;
  readonly selector: string;
  readonly stream: string;
  /** PEM, DER or an Ed25519 seed, as bytes or text. */
  readonly input: string | Uint8Array;
  /** For a domain that is added. */
  readonly policy: string;
  readonly bindings: readonly Binding[];
  /** It is to be at hand and not to sign by itself. */
  readonly kept?: true;
  /** For a domain that is added: the main domain that it is a shadow of. */
  readonly shadowOf?: string;
}

export type ImportKeyResult =
  | (Extract<OperationResult, { kind: 'done' }> & {
      readonly key: { readonly algorithm: 'rsa' | 'ed25519'; readonly bits: number };
      readonly warnings: readonly string[];
    })
  | Exclude<OperationResult, { kind: 'done' }>
  | { readonly kind: 'no-such-policy' }
  | { readonly kind: 'no-main' }
  /** The message holds nothing of the input. */
  | { readonly kind: 'bad-key'; readonly message: string };

export async function importKey(operator: Operator, wanted: KeyToImport): Promise<ImportKeyResult> {
  if (!/^[a-z0-9](?:[a-z0-9._-]{0,200}[a-z0-9])?$/.test(wanted.selector)) {
    return {
      kind: 'bad-key',
      message: `"${wanted.selector}" is not a selector: letters, digits, dots and hyphens are`,
    };
  }
  const imported = importPrivateKey(wanted.input);
  if (!imported.ok) return { kind: 'bad-key', message: imported.error.message };
  const { algorithm, bits, privateKey } = imported.pair;
  const id = randomUUID();
  const secrets: NewSecret[] = [
    { keyId: id, from: 'der', pkcs8: new Uint8Array(privateKey.export({ type: 'pkcs8', format: 'der' })) },
  ];
  const key = {
    id,
    stream: wanted.stream,
    selector: wanted.selector,
    algorithm,
    bits,
    publicKey: publicKeyData(privateKey),
    ownership: 'ours' as const,
  };
  const { kept } = wanted;
  const outcome = (at: number): Outcome => ({
    kind: 'key-imported',
    at,
    key,
    ...(kept === undefined ? {} : { kept }),
  });
  const warnings = imported.warnings.map((warning) => warning.message);
  const stored = await operator.store.snapshot(wanted.domain);
  if (stored === null) {
    const streams = (at: number): Outcome[] =>
      wanted.stream === 'default' ? [] : [{ kind: 'stream-added', at, stream: wanted.stream, policy: null }];
    const { domain: name, policy, bindings, shadowOf } = wanted;
    const also = (at: number) => [...streams(at), outcome(at)];
    const added =
      shadowOf === undefined
        ? await addDomain(operator, { name, kind: 'mail', policy, bindings, also, secrets })
        : await addShadow(operator, { name, of: shadowOf, policy, also, secrets, selectors: [wanted.selector] });
    if (added.kind === 'added') return { ...added, kind: 'done', key: { algorithm, bits }, warnings };
    if (added.kind !== 'exists') return added;
  }
  const domain = stored?.snapshot.domain ?? (await operator.store.snapshot(wanted.domain))?.snapshot.domain;
  if (domain !== undefined) {
    const refused = await reserveSelector(operator, domain, wanted.selector);
    if (refused !== null) return refused;
  }
  const result = await operate(operator, wanted.domain, (_domain, now) => [outcome(now)], secrets);
  return result.kind === 'done' ? { ...result, key: { algorithm, bits }, warnings } : result;
}
