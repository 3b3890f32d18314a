import { describe, expect, it } from 'vitest';
import { finding, firstActive, rsa, selectors } from '../plan-testing.ts';
import { DAY, HOUR, type Life, settledLife } from '../testing.ts';

const two = { keys: rsa, standby: 1 } as const;

function want(life: Life, id: string): void {
  life.happen({ kind: 'key-wanted', at: life.now, keyId: id });
}

/** A pair of another domain, to be proved here first. */
function copied(life: Life, id: string, bits = 2048): void {
  const key = { id, stream: 'default', selector: id, algorithm: 'rsa', bits, publicKey: id } as const;
  life.happen({ kind: 'key-copied', at: life.now, key, from: 'other.test/x', kept: true });
}

describe('a key that is asked for', () => {
  it('enters as soon as rule 1 allows, and the one before leaves by rule 2', () => {
    const life = settledLife(two);
    const old = firstActive(life);
    const [standby] = life.keys('standby');
    want(life, standby?.id ?? '');
    life.live(HOUR);
    expect(selectors(life.keys('active'))).toEqual([standby?.selector]);
    expect(life.key(old.id).state).toBe('retiring');
    expect(life.violations).toEqual([]);
    expect(life.reasons()).toEqual([]);
  });

  it('may be a copy of another length than the policy asks for: its record, its proof, then its signature', () => {
    const life = settledLife(two);
    copied(life, 'copy', 4096);
    life.live(30 * DAY);
    expect(life.key('copy').state).toBe('standby');
    const old = firstActive(life);
    want(life, 'copy');
    life.live(HOUR);
    expect(selectors(life.keys('active'))).toEqual(['copy']);
    expect(life.key(old.id).state).toBe('retiring');
    life.live(40 * DAY);
    expect(selectors(life.keys('active'))).toEqual(['copy']);
    expect(life.violations).toEqual([]);
  });

  it('counts as new from then on, however old it is, and is rotated in its turn', () => {
    const life = settledLife({ ...two, rotateEvery: 120 * DAY });
    const old = firstActive(life);
    life.happen({ kind: 'key-kept', at: life.now, keyId: old.id });
    life.live(125 * DAY);
    expect(life.key(old.id).state).toBe('retiring');
    want(life, old.id);
    life.live(DAY);
    expect(selectors(life.keys('active'))).toEqual([old.selector]);
    life.live(115 * DAY);
    expect(selectors(life.keys('active'))).toEqual([old.selector]);
    life.live(10 * DAY);
    expect(life.key(old.id).state).toBe('retiring');
    expect(life.violations).toEqual([]);
  });

  it('cancels a rotation that was asked for, and a rotation cancels it', () => {
    const life = settledLife(two);
    const old = firstActive(life);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    want(life, old.id);
    life.live(DAY);
    expect(selectors(life.keys('active'))).toEqual([old.selector]);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.live(3 * DAY);
    expect(life.key(old.id).state).toBe('retiring');
  });

  it('is waited for while its stream is paused, and says so', () => {
    const life = settledLife(two);
    life.happen({ kind: 'paused', at: life.now, stream: 'default' });
    const [standby] = life.keys('standby');
    want(life, standby?.id ?? '');
    life.live(DAY);
    expect(life.key(standby?.id ?? '').state).toBe('standby');
    expect(life.reasons()).toContain('key-awaited');
    life.happen({ kind: 'resumed', at: life.now, stream: 'default' });
    life.live(HOUR);
    expect(life.key(standby?.id ?? '').state).toBe('active');
  });

  it('does not enter while its record is not seen', () => {
    const life = settledLife(two);
    copied(life, 'copy');
    life.answer = finding('missing', (key) => key.id === 'copy');
    want(life, 'copy');
    life.live(10 * DAY);
    expect(life.key('copy').state).not.toBe('active');
    expect(life.keys('active')).toHaveLength(1);
  });
});

describe('a key that is kept', () => {
  it('is not revoked, comes back when asked, and goes when it is let go', () => {
    const life = settledLife(two);
    const old = firstActive(life);
    life.happen({ kind: 'key-kept', at: life.now, keyId: old.id });
    const [standby] = life.keys('standby');
    want(life, standby?.id ?? '');
    life.live(100 * DAY);
    expect(life.key(old.id).state).toBe('retiring');
    want(life, old.id);
    life.live(HOUR);
    expect(selectors(life.keys('active'))).toEqual([old.selector]);
    // The other was not kept: once its overlap is over, it is gone for good.
    life.live(20 * DAY);
    expect(life.key(standby?.id ?? '').state).toBe('revoked');
    life.happen({ kind: 'key-released', at: life.now, keyId: old.id });
    life.live(DAY);
    expect(life.key(old.id)).toMatchObject({ state: 'active' });
    expect(life.violations).toEqual([]);
  });

  it('has its overlap begin when it is let go', () => {
    const life = settledLife(two);
    const old = firstActive(life);
    life.happen({ kind: 'key-kept', at: life.now, keyId: old.id });
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.live(60 * DAY);
    life.happen({ kind: 'key-released', at: life.now, keyId: old.id });
    life.live(13 * DAY);
    expect(life.key(old.id).state).toBe('retiring');
    life.live(3 * DAY);
    expect(life.key(old.id).state).toBe('revoked');
    expect(life.violations).toEqual([]);
  });

  it('goes when it is compromised, kept or not', () => {
    const life = settledLife(two);
    const old = firstActive(life);
    life.happen({ kind: 'key-kept', at: life.now, keyId: old.id });
    life.happen({ kind: 'compromised', at: life.now, keyId: old.id });
    life.live(DAY);
    expect(life.key(old.id).state).toBe('revoked');
  });

  it('waits for negative caches anew where its record was away meanwhile', () => {
    const life = settledLife(two);
    const old = firstActive(life);
    life.happen({ kind: 'key-kept', at: life.now, keyId: old.id });
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.until((snapshot) => snapshot.keys.find((key) => key.id === old.id)?.state === 'retiring', 3 * DAY);
    life.answer = finding('missing', (key) => key.id === old.id);
    life.live(DAY);
    life.answer = () => undefined;
    life.until((snapshot) => snapshot.keys.find((key) => key.id === old.id)?.proof?.verdict === 'seen', DAY);
    const back = life.now;
    want(life, old.id);
    life.until((snapshot) => snapshot.keys.find((key) => key.id === old.id)?.state === 'active', DAY);
    expect(life.now - back).toBeGreaterThanOrEqual(300_000);
    expect(life.violations).toEqual([]);
  });

  it('does not enter by itself, is no successor, and is not surplus, though it was taken over', () => {
    const life = settledLife(two);
    const key = {
      id: 'blind',
      stream: 'default',
      selector: 'blind',
      algorithm: 'rsa',
      bits: 2048,
      publicKey: 'b',
    } as const;
    life.happen({ kind: 'key-imported', at: life.now, key: { ...key, ownership: 'ours' }, kept: true });
    life.live(130 * DAY);
    expect(life.key('blind')).toMatchObject({ state: 'standby', activatedAt: null });
    life.happen({ kind: 'key-released', at: life.now, keyId: 'blind' });
    life.live(10 * DAY);
    // It may have signed elsewhere before.
    expect(life.key('blind').state).toBe('standby');
    life.live(6 * DAY);
    expect(life.key('blind').state).toBe('revoked');
    expect(life.violations).toEqual([]);
  });
});
