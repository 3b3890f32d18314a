/** Takes over a key that signs already elsewhere, with its selector; the domain is added where it is not in care yet. */
import { randomUUID } from 'node:crypto';
import { importPrivateKey } from '../dkim/import-key.ts';
import { publicKeyData } from '../dkim/key-pair.ts';
import type { Outcome } from '../lifecycle/types.ts';
import type { NewSecret } from '../store/store.ts';
import type { Binding } from './bindings.ts';
import { addDomain, type OperationResult, type Operator, operate } from './operations.ts';

export interface KeyToImport {
  readonly domain: string;
  readonly selector: string;
  readonly stream: string;
  /** PEM, DER or an Ed25519 seed, as bytes or text. */
  readonly input: string | Uint8Array;
  /** For a domain that is added. */
  readonly policy: string;
  readonly bindings: readonly Binding[];
}

export type ImportKeyResult =
  | (Extract<OperationResult, { kind: 'done' }> & {
      readonly key: { readonly algorithm: 'rsa' | 'ed25519'; readonly bits: number };
      readonly warnings: readonly string[];
    })
  | Exclude<OperationResult, { kind: 'done' }>
  | { readonly kind: 'no-such-policy' }
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
  const outcome = (at: number): Outcome => ({ kind: 'key-imported', at, key });
  const warnings = imported.warnings.map((warning) => warning.message);
  if ((await operator.store.snapshot(wanted.domain)) === null) {
    const streams = (at: number): Outcome[] =>
      wanted.stream === 'default' ? [] : [{ kind: 'stream-added', at, stream: wanted.stream, policy: null }];
    const added = await addDomain(operator, {
      name: wanted.domain,
      kind: 'mail',
      policy: wanted.policy,
      bindings: wanted.bindings,
      also: (at) => [...streams(at), outcome(at)],
      secrets,
    });
    if (added.kind === 'added') return { ...added, kind: 'done', key: { algorithm, bits }, warnings };
    if (added.kind === 'no-such-policy') return added;
  }
  const result = await operate(operator, wanted.domain, (_domain, now) => [outcome(now)], secrets);
  return result.kind === 'done' ? { ...result, key: { algorithm, bits }, warnings } : result;
}
