import { describe, expect, it } from 'vitest';
import { finding, proofOf, rotated, rsa, selectors } from '../plan-testing.ts';
import { DAY, HOUR, type Life, newLife, settledLife } from '../testing.ts';

describe('a change of policy', () => {
  it('rolls over to another length, and gives an algorithm up', () => {
    const life = settledLife();
    const before = selectors(life.keys('active'));
    life.happen({
      kind: 'policy-set',
      at: life.now,
      stream: 'default',
      policy: { ...life.policy, keys: [{ algorithm: 'rsa', bits: 4096, count: 1 }] },
    });
    life.live(5 * DAY);
    expect(life.keys('active')).toMatchObject([{ algorithm: 'rsa', bits: 4096 }]);
    for (const selector of before) expect(life.key(selector).state).toBe('retiring');
    expect(life.violations).toEqual([]);
  });

  it('adds a key of redundancy and drops it again', () => {
    const life = settledLife({ keys: rsa });
    const set = (count: number): void =>
      life.happen({
        kind: 'policy-set',
        at: life.now,
        stream: 'default',
        policy: { ...life.policy, keys: [{ algorithm: 'rsa', bits: 2048, count }] },
      });
    set(2);
    life.live(3 * DAY);
    expect(life.keys('active')).toHaveLength(2);
    set(1);
    life.live(3 * DAY);
    expect(life.keys('active')).toHaveLength(1);
    expect(life.keys('retiring')).toHaveLength(1);
    expect(life.violations).toEqual([]);
  });

  it('removes standby keys that are too many, without tombstone', () => {
    const life = settledLife({ keys: rsa, standby: 3 });
    expect(life.keys('standby')).toHaveLength(3);
    life.policy = { ...life.policy, standby: 1 };
    life.live(HOUR);
    expect(life.keys('standby')).toHaveLength(1);
    expect(life.keys('removed')).toHaveLength(2);
  });
});

describe('an imported key', () => {
  const imported = (life: Life, bits = 2048): void =>
    life.happen({
      kind: 'key-imported',
      at: life.now,
      key: {
        id: 'old',
        stream: 'default',
        selector: 'dkim',
        algorithm: 'rsa',
        bits,
        publicKey: 'AA',
        ownership: 'ours',
      },
    });

  it('is active as soon as its record is proved', () => {
    const life = newLife({ keys: rsa });
    imported(life);
    life.until((s) => s.keys.some((key) => key.selector === 'dkim' && key.state === 'active'), 60_000);
    life.live(100 * DAY);
    expect(selectors(life.keys('active'))).toEqual(['dkim']);
    expect(
      life.steps.some(({ step }) => step.kind === 'write-record' && step.keyId === 'old' && step.record !== 'key'),
    ).toBe(false);
  });

  it('is not written where it stands already', () => {
    const life = newLife({ keys: rsa });
    imported(life);
    life.live(DAY);
    expect(life.key('old').state).toBe('active');
    expect(life.steps.some(({ step }) => step.kind === 'write-record' && step.keyId === 'old')).toBe(false);
  });

  it('whose record is missing is published, and waits for the negative caches like any other', () => {
    let writtenAt: number | null = null;
    const life = newLife({ keys: rsa }, 'mail', (step, at) => {
      if (step.kind === 'write-record' && step.keyId === 'old') writtenAt ??= at;
      if (step.kind !== 'prove' || step.keyId !== 'old' || writtenAt !== null) return undefined;
      return [{ kind: 'proved', keyId: 'old', proof: proofOf('missing', at) }];
    });
    imported(life);
    life.until((s) => s.keys.some((key) => key.selector === 'dkim' && key.state === 'active'), 3 * DAY);
    expect(writtenAt).not.toBeNull();
    expect(life.now - (writtenAt ?? life.now)).toBeGreaterThanOrEqual(300_000);
    expect(life.violations).toEqual([]);
  });

  it('that is too weak is replaced, with an overlap', () => {
    const life = newLife({ keys: rsa });
    imported(life, 1024);
    life.live(HOUR);
    expect(life.reasons()).toContain('weak-key');
    life.until(rotated(life.key('old')), 5 * DAY);
    expect(life.violations).toEqual([]);
  });

  it('beside keys that sign already enters, and leaves by the rules: its mail is on its way', () => {
    const life = settledLife({ keys: rsa });
    imported(life);
    life.live(DAY);
    expect(['active', 'retiring']).toContain(life.key('old').state);
    expect(life.keys('active')).toHaveLength(1);
    life.live(12 * DAY);
    expect(life.key('old').state).toBe('retiring');
  });
});

describe('what belongs to somebody else', () => {
  it('is proved and shown, and never touched', () => {
    const life = settledLife({ keys: rsa });
    life.happen({
      kind: 'key-imported',
      at: life.now,
      key: {
        id: 'esp',
        stream: 'default',
        selector: 's1',
        algorithm: 'rsa',
        bits: 2048,
        publicKey: 'AA',
        ownership: 'external',
      },
    });
    life.answer = finding('missing', (key) => key.id === 'esp');
    life.live(3 * DAY);
    const touching = life.steps
      .filter(({ step }) => 'keyId' in step && step.keyId === 'esp')
      .map(({ step }) => step.kind);
    expect(new Set(touching)).toEqual(new Set(['prove']));
    expect(life.reasons()).toContain('record-missing');
    expect(life.keys('active')).toHaveLength(1);
  });
});
