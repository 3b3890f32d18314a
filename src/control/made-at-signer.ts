/** Keys that are born where they sign: a signer that takes no private keys from outside makes them itself. */
import { importPrivateKey } from '../dkim/import-key.ts';
import { publicKeyData } from '../dkim/key-pair.ts';
import { signersOf } from '../lifecycle/facts.ts';
import type { Snapshot, Step } from '../lifecycle/types.ts';
import type { Signer } from '../signers/signer.ts';
import type { KeyPairOffer } from './world.ts';

/** A key pair whose private half may lie at the signer alone. */
export type MadeOffer = Pick<KeyPairOffer, 'publicKey'> & { readonly secret: KeyPairOffer['secret'] | null };

type Wanted = Pick<Extract<Step, { kind: 'create-key' }>, 'stream' | 'selector' | 'algorithm' | 'bits'>;

/**
 * The key as one of the stream's signers made it; null where none of them makes keys, or not of this algorithm.
 * @throws Error where the signer cannot make it, or where others would have to sign with a private half that it does not give away.
 */
export async function madeAtSigner(
  { stream, selector, algorithm, bits }: Wanted,
  snapshot: Snapshot,
  signers: ReadonlyMap<string, Signer>,
): Promise<MadeOffer | null> {
  if (algorithm !== 'rsa') return null;
  const bound = signersOf(snapshot, stream);
  const makers = bound.flatMap(({ id }) => {
    const signer = signers.get(id);
    return signer?.makeKey === undefined ? [] : [signer];
  });
  const [maker] = makers;
  if (maker?.makeKey === undefined) return null;
  const { name } = snapshot.domain;
  if (makers.length > 1)
    throw new Error(
      `${makers.map(({ id }) => id).join(' and ')} both make the keys of ${name} themselves: let one of them sign the stream ${stream} (signs), or let one be given keys.`,
    );
  const made = await maker.makeKey(name, { selector, bits });
  if (made.privateKey === null) {
    const others = bound.filter(({ id }) => id !== maker.id).map(({ id }) => id);
    if (others.length > 0)
      throw new Error(
        `${maker.id} made the key ${selector} of ${name} and does not give its private half away, so that ${others.join(', ')} cannot sign with it: let ${maker.id} show private keys, or sign the stream ${stream} alone.`,
      );
    return { publicKey: made.publicKey, secret: null };
  }
  const imported = importPrivateKey(made.privateKey);
  if (!imported.ok)
    throw new Error(
      `The private key that ${maker.id} made for ${selector} of ${name} cannot be used: ${imported.error.message}.`,
    );
  const { privateKey } = imported.pair;
  if (publicKeyData(privateKey) !== made.publicKey)
    throw new Error(
      `The two halves of the key that ${maker.id} made for ${selector} of ${name} do not belong together.`,
    );
  const pkcs8 = new Uint8Array(privateKey.export({ type: 'pkcs8', format: 'der' }));
  return { publicKey: made.publicKey, secret: (keyId) => ({ keyId, from: 'der', pkcs8 }) };
}
