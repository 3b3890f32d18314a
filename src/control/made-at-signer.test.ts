import { describe, expect, test } from 'vitest';
import { exportPrivateKeyPem, generateKeyPair, publicKeyData } from '../dkim/key-pair.ts';
import { newDomain, newSigner } from '../lifecycle/new-domain.ts';
import type { Snapshot } from '../lifecycle/types.ts';
import type { MadeKey, Signer } from '../signers/signer.ts';
import { madeAtSigner } from './made-at-signer.ts';

const wanted = { stream: 'default', selector: 's1', algorithm: 'rsa', bits: 2048 } as const;
const pair = await generateKeyPair({ algorithm: 'rsa', bits: 2048 });
const publicKey = publicKeyData(pair.privateKey);
const shown: MadeKey = { publicKey, privateKey: exportPrivateKeyPem(pair.privateKey) };
const hidden: MadeKey = { publicKey, privateKey: null };

function signer(id: string, made?: MadeKey): Signer {
  return {
    id,
    kind: 'fake',
    deliver: async () => ({ kind: 'pending', message: '' }),
    forget: async () => undefined,
    selfTest: async () => ({ kind: 'signed' }),
    ...(made === undefined ? {} : { makeKey: async () => made }),
  };
}

function scene(...signers: Signer[]): [Snapshot, ReadonlyMap<string, Signer>] {
  const snapshot = newDomain('example.com', 'mail', 0);
  const views = signers.map(({ id }) => newSigner(id, ['default']));
  return [{ ...snapshot, signers: views }, new Map(signers.map((each) => [each.id, each]))];
}

describe('a key that is born at a signer', () => {
  test('is taken over with its private half where the signer shows it', async () => {
    const made = await madeAtSigner(wanted, ...scene(signer('milter'), signer('mailcow', shown)));
    expect(made?.publicKey).toBe(publicKey);
    expect(made?.secret?.('id')).toMatchObject({ keyId: 'id', from: 'der' });
  });

  test('stays without one where the signer alone signs the stream, and is not made where others do', async () => {
    expect(await madeAtSigner(wanted, ...scene(signer('mailcow', hidden)))).toEqual({ publicKey, secret: null });
    const both = scene(signer('milter'), signer('mailcow', hidden));
    await expect(madeAtSigner(wanted, ...both)).rejects.toThrow(/milter cannot sign with it/);
    // One that was set aside is not waited for.
    const [snapshot, signers] = both;
    const aside = snapshot.signers.map((view) => (view.id === 'milter' ? { ...view, setAsideAt: 1 } : view));
    expect((await madeAtSigner(wanted, { ...snapshot, signers: aside }, signers))?.secret).toBeNull();
  });

  test('is nobody’s where no signer makes keys, or not of this kind', async () => {
    expect(await madeAtSigner(wanted, ...scene(signer('milter')))).toBeNull();
    expect(await madeAtSigner({ ...wanted, algorithm: 'ed25519' }, ...scene(signer('mailcow', shown)))).toBeNull();
    expect(await madeAtSigner({ ...wanted, stream: 'news' }, ...scene(signer('mailcow', shown)))).toBeNull();
  });

  test('is refused where two want to make it, or its halves do not belong together; the error holds no key', async () => {
    await expect(madeAtSigner(wanted, ...scene(signer('a', shown), signer('b', shown)))).rejects.toThrow(
      /a and b both/,
    );
    const other = publicKeyData((await generateKeyPair({ algorithm: 'rsa', bits: 2048 })).privateKey);
    const torn = madeAtSigner(wanted, ...scene(signer('mailcow', { ...shown, publicKey: other })));
    await expect(torn).rejects.toThrow(/do not belong together/);
    await expect(torn).rejects.not.toThrow(/PRIVATE KEY|MII/);
  });
});
