import { describe, expect, it } from 'vitest';
import { rsa, selectors } from '../plan-testing.ts';
import { DAY, type Life, newLife, settledLife } from '../testing.ts';
import type { SignerAbilities } from '../types.ts';

/** A life whose stream is signed by `mta`, changed to these abilities, and perhaps by others. */
function lifeWith(
  abilities: SignerAbilities,
  policy: Parameters<typeof newLife>[0] = {},
  others: Readonly<Record<string, SignerAbilities | undefined>> = {},
): Life {
  const life = newLife(policy);
  life.happen({ kind: 'signer-added', at: life.now, signerId: 'mta', streams: ['default'], abilities });
  for (const [signerId, its] of Object.entries(others))
    life.happen({
      kind: 'signer-added',
      at: life.now,
      signerId,
      streams: ['default'],
      ...(its === undefined ? {} : { abilities: its }),
    });
  life.live(10 * DAY);
  expect(life.violations).toEqual([]);
  return life;
}

const one: SignerAbilities = { algorithms: ['rsa'], atMost: 1 };
const rsaOnly: SignerAbilities = { algorithms: ['rsa'], atMost: null };

describe('an algorithm that no signer can sign with', () => {
  it('is neither made nor needed, and said', () => {
    const life = lifeWith(rsaOnly);
    expect(life.keys().every((key) => key.algorithm === 'rsa')).toBe(true);
    expect(life.keys('active')).toHaveLength(1);
    expect(life.snapshot.conditions).toMatchObject([{ reason: 'algorithm-not-signed', severity: 'info' }]);
  });

  it('is a warning where the policy asks for nothing else, and nothing is made', () => {
    const life = lifeWith(rsaOnly, { keys: [{ algorithm: 'ed25519', bits: 256, count: 1 }] });
    expect(life.keys()).toEqual([]);
    expect(life.snapshot.conditions).toMatchObject([{ reason: 'algorithm-not-signed', severity: 'warning' }]);
  });

  it('has its keys leave by the rules once the last signer that could has gone, not while it is set aside', () => {
    const life = lifeWith(rsaOnly, {}, { other: undefined });
    expect(life.keys('active').map((key) => key.algorithm)).toEqual(['rsa', 'ed25519']);
    life.happen({ kind: 'signer-set-aside', at: life.now, signerId: 'other' });
    life.live(2 * DAY);
    expect(life.keys('active')).toHaveLength(2);
    life.happen({ kind: 'signer-removed', at: life.now, signerId: 'other' });
    life.live(2 * DAY);
    expect(life.keys('active').map((key) => key.algorithm)).toEqual(['rsa']);
    expect(life.keys('retiring').map((key) => key.algorithm)).toEqual(['ed25519']);
    expect(life.violations).toEqual([]);
  });

  it('is made once a signer comes that can', () => {
    const life = lifeWith(rsaOnly);
    life.happen({ kind: 'signer-added', at: life.now, signerId: 'other', streams: ['default'] });
    life.live(4 * DAY);
    expect(life.keys('active').map((key) => key.algorithm)).toEqual(['rsa', 'ed25519']);
    expect(life.reasons()).toEqual([]);
  });
});

describe('a signer that signs with one key at most', () => {
  it('is asked for a test of the key that it signs with, and of no other', () => {
    const life = lifeWith(one, { keys: [{ algorithm: 'rsa', bits: 2048, count: 2 }] }, { other: undefined });
    expect(life.keys('active')).toHaveLength(2);
    const tests = life.steps.flatMap(({ step }) => (step.kind === 'self-test' ? [step] : []));
    expect(tests.filter(({ signerId }) => signerId === 'mta')).toHaveLength(1);
    expect(tests.filter(({ signerId }) => signerId === 'other')).toHaveLength(2);
    expect(life.snapshot.conditions).toMatchObject([{ reason: 'signer-limit', severity: 'info' }]);
  });

  it('has the policy capped where it is the only one', () => {
    const life = lifeWith(one, { keys: [{ algorithm: 'rsa', bits: 2048, count: 3 }] });
    expect(life.keys('active')).toHaveLength(1);
    expect(life.snapshot.conditions).toMatchObject([{ reason: 'signer-limit' }]);
    expect(life.snapshot.conditions[0]?.message).toContain('mta signs with 1 key at most');
  });

  it('rotates: it switches at the delivery, is seen, and the old key leaves', () => {
    const life = lifeWith(one, { keys: rsa });
    const [old] = life.keys('active');
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.until((snapshot) => snapshot.keys.find((key) => key.id === old?.id)?.state === 'retiring', 3 * DAY);
    expect(life.keys('active')).toHaveLength(1);
    expect(life.violations).toEqual([]);
  });

  it('lets a compromised key leave for a standby key', () => {
    const life = lifeWith(one, { keys: rsa });
    const [old] = life.keys('active');
    life.happen({ kind: 'compromised', at: life.now, keyId: old?.id ?? '' });
    life.until((snapshot) => snapshot.keys.find((key) => key.id === old?.id)?.state === 'revoked', DAY);
    expect(life.violations).toEqual([]);
  });

  it.for([
    ['while both keys sign', false],
    ['when the old key has left', true],
  ] as const)('is rolled back %s', ([, isOver]) => {
    const life = lifeWith(one, { keys: rsa });
    const [old] = life.keys('active');
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    if (!isOver) life.answer = (step) => (step.kind === 'self-test' ? [] : undefined);
    life.until((snapshot) => snapshot.keys.some((key) => key.state === 'active' && key.id !== old?.id), 3 * DAY);
    if (isOver) life.live(DAY);
    expect(life.keys('active')).toHaveLength(isOver ? 1 : 2);
    life.answer = () => undefined;
    life.happen({ kind: 'rolled-back', at: life.now, stream: 'default' });
    life.live(2 * DAY);
    expect(selectors(life.keys('active'))).toEqual([old?.selector]);
    expect(life.violations).toEqual([]);
  });

  it('signs again with a key that it has never been seen to sign with, once that is put first', () => {
    const life = lifeWith(one, { keys: rsa });
    const [old] = life.keys('active');
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.answer = (step) => (step.kind === 'self-test' ? [] : undefined);
    life.until((snapshot) => snapshot.keys.filter((key) => key.state === 'active').length === 2, 3 * DAY);
    // The new key entered before the first was ever tried by another signer of the same kind.
    life.happen({ kind: 'signer-added', at: life.now, signerId: 'late', streams: ['default'], abilities: one });
    life.answer = () => undefined;
    life.happen({ kind: 'rolled-back', at: life.now, stream: 'default' });
    life.live(2 * DAY);
    expect(selectors(life.keys('active'))).toEqual([old?.selector]);
    expect(life.key(old?.id ?? '').signaturesSeen).toMatchObject({ mta: expect.any(Number), late: expect.any(Number) });
    expect(life.violations).toEqual([]);
  });
});

it('a signer that is away: first said, then warned of, then critical, with what waits and what to do', () => {
  const life = settledLife({ keys: rsa });
  life.answer = (step) =>
    step.kind === 'deliver'
      ? [{ kind: 'not-acknowledged', at: life.now, signerId: 'mta', message: 'no answer' }]
      : undefined;
  life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
  life.until((snapshot) => snapshot.conditions.some(({ reason }) => reason === 'signer-not-acknowledging'), 3 * DAY);
  const away = () => life.snapshot.conditions.find(({ reason }) => reason === 'signer-away');
  const seen: string[] = [];
  for (const minutes of [0, 10, 60, 60, 24 * 60]) {
    life.live(minutes * 60_000);
    seen.push(away()?.severity ?? 'nothing');
  }
  expect(seen).toEqual(['nothing', 'info', 'warning', 'warning', 'critical']);
  expect(away()?.message).toContain('keyturn signer set-aside example.test mta');
  expect(away()?.message).toContain(life.keys('active').at(-1)?.selector);
  life.answer = () => undefined;
  life.live(DAY);
  expect(away()).toBeUndefined();
});
