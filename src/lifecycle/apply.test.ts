import { describe, expect, it } from 'vitest';
import { apply } from './apply.ts';
import { DAY, newLife, settledLife } from './testing.ts';

describe('apply', () => {
  it('keeps the identity of everything that an outcome does not touch', () => {
    const life = settledLife();
    const [key, other] = life.snapshot.keys;
    const { snapshot } = apply(life.snapshot, { kind: 'compromised', at: life.now, keyId: key?.id ?? '' });
    expect(snapshot.keys[0]).not.toBe(key);
    expect(snapshot.keys[1]).toBe(other);
    expect(snapshot.signers).toBe(life.snapshot.signers);
    expect(snapshot.conditions).toBe(life.snapshot.conditions);
    expect(snapshot.domain).toBe(life.snapshot.domain);
  });

  it('refuses, and answers the very same snapshot', () => {
    const life = settledLife();
    const [active] = life.keys('active');
    const keyId = active?.id ?? '';
    const refusals = [
      apply(life.snapshot, { kind: 'moved', at: life.now, keyId, to: 'revoked' }),
      apply(life.snapshot, { kind: 'moved', at: life.now, keyId: 'nobody', to: 'revoked' }),
      apply(life.snapshot, { kind: 'active-changed', at: life.now, enter: [keyId], leave: [] }),
      apply(life.snapshot, {
        kind: 'active-changed',
        at: life.now,
        enter: [],
        leave: life.keys('active').map((k) => k.id),
      }),
      apply(life.snapshot, { kind: 'rotation-requested', at: life.now, stream: 'nowhere' }),
      apply(life.snapshot, { kind: 'rolled-back', at: life.now, stream: 'default' }),
    ];
    expect(refusals.map((one) => one.refused)).toEqual([
      'wrong-state',
      'unknown-key',
      'wrong-state',
      'no-successor',
      'unknown-stream',
      'nothing-to-roll-back',
    ]);
    for (const { snapshot } of refusals) expect(snapshot).toBe(life.snapshot);
  });

  it('makes no second key for a selector', () => {
    const life = newLife();
    const key = { id: 'x', stream: 'default', selector: 's', algorithm: 'rsa', bits: 2048, publicKey: 'A' } as const;
    life.happen({ kind: 'key-created', at: life.now, key });
    const again = apply(life.snapshot, { kind: 'key-created', at: life.now, key: { ...key, id: 'y' } });
    expect(again).toEqual({ snapshot: life.snapshot, refused: 'selector-taken' });
  });

  it('takes a signer at its word when it has loaded less than before', () => {
    const life = settledLife();
    life.happen({ kind: 'acknowledged', at: life.now, signerId: 'mta', generation: 0 });
    expect(life.snapshot.signers).toMatchObject([{ acknowledgedGeneration: 0 }]);
    life.live(60_000);
    expect(life.snapshot.signers).toMatchObject([{ acknowledgedGeneration: life.snapshot.domain.generation }]);
  });

  it('goes on from the generation of a signer that is ahead of a restored store, and trusts no earlier acknowledgement', () => {
    const life = settledLife({ keys: [{ algorithm: 'rsa', bits: 2048, count: 1 }] });
    life.happen({ kind: 'acknowledged', at: life.now, signerId: 'mta', generation: 41 });
    expect(life.snapshot.domain.generation).toBe(42);
    expect(life.keys('active')).toMatchObject([{ enteredGeneration: 42, signaturesSeen: {} }]);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.live(DAY);
    expect(life.keys('retiring')).toHaveLength(1);
    expect(life.violations).toEqual([]);
  });
});
