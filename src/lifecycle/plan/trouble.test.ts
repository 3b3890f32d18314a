import { describe, expect, it } from 'vitest';
import { finding, firstActive, rotated, rsa, selectors } from '../plan-testing.ts';
import { DAY, HOUR, newLife, START, settledLife } from '../testing.ts';

describe('an emergency', () => {
  it('passes freeze, pause and approval: the standby key takes over, the bad one is revoked without overlap', () => {
    const freeze = [{ kind: 'dates', from: START, to: START + 999 * DAY } as const];
    const life = settledLife({ keys: rsa, approval: 'required' });
    const bad = firstActive(life);
    life.policy = { ...life.policy, freeze };
    life.happen({ kind: 'paused', at: life.now, stream: null });
    life.happen({ kind: 'compromised', at: life.now, keyId: bad.id });
    const when = life.now;
    life.until((s) => s.keys.some((key) => key.id === bad.id && key.written?.kind === 'revoked'), HOUR);
    expect(life.now - when).toBeLessThan(5 * 60_000);
    expect(life.keys('active')).toHaveLength(1);
    expect(life.violations).toEqual([]);
  });

  it('without a standby key makes one as fast as the negative cache allows, and the bad key signs on meanwhile', () => {
    const life = settledLife({ keys: rsa, standby: 0 });
    const bad = firstActive(life);
    life.happen({ kind: 'compromised', at: life.now, keyId: bad.id });
    life.live(60_000);
    expect(life.key(bad.id).state).toBe('active');
    expect(life.reasons()).toEqual(expect.arrayContaining(['key-compromised', 'compromised-without-successor']));
    const when = life.now;
    life.until(rotated(bad), HOUR);
    expect(life.now - when).toBeGreaterThan(240_000);
    expect(life.violations).toEqual([]);
  });

  it('of an Ed25519 key lets it go at once: RSA stands in; of an RSA key it waits for another RSA key', () => {
    const life = settledLife({ standby: 0 });
    const [rsaKey, edKey] = life.keys('active');
    if (rsaKey === undefined || edKey === undefined) throw new Error('two keys were expected');
    life.happen({ kind: 'compromised', at: life.now, keyId: edKey.id });
    life.live(60_000);
    expect(life.key(edKey.id).state).toBe('revoked');
    life.live(2 * DAY);
    life.happen({ kind: 'compromised', at: life.now, keyId: rsaKey.id });
    life.live(60_000);
    expect(life.key(rsaKey.id).state).toBe('active');
    life.until(rotated(rsaKey), HOUR);
  });

  it('of a standby key takes it away, and its record with it', () => {
    const life = settledLife({ keys: rsa });
    const [standby] = life.keys('standby');
    life.happen({ kind: 'compromised', at: life.now, keyId: standby?.id ?? '' });
    life.live(DAY);
    expect(life.key(standby?.id ?? '').state).toBe('removed');
    expect(life.keys('active')).toHaveLength(1);
  });
});

describe('a signer that is away for two years', () => {
  it('holds up one rotation, not pile up a key for each: then the older keys go for later ones, due as those are', () => {
    const life = settledLife({ keys: rsa, jitter: 0 });
    const old = firstActive(life);
    life.answer = (step, at) =>
      step.kind === 'deliver' ? [{ kind: 'not-acknowledged', at, signerId: 'mta', message: 'away' }] : undefined;
    for (let quarter = 0; quarter < 8; quarter++) life.live(91 * DAY);
    const piled = life.keys('active');
    expect(piled).toHaveLength(2);
    expect(piled.map(({ id }) => id)).toContain(old.id);
    expect(life.reasons()).toContain('rotation-unfinished');
    life.answer = () => undefined;
    life.until(rotated(old), DAY);
    life.until((snapshot) => snapshot.keys.every(({ id, state }) => id !== piled[1]?.id || state === 'retiring'), DAY);
    expect(life.keys('active')).toHaveLength(1);
    expect(life.reasons()).not.toContain('rotation-unfinished');
    expect(life.violations).toEqual([]);
  });
});

describe('a rollback', () => {
  it('brings back the key that left, rejects the new one, and holds the stream until it is resumed', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.until(rotated(old), DAY);
    const fresh = firstActive(life);
    life.happen({ kind: 'rolled-back', at: life.now, stream: 'default' });
    life.until(rotated(fresh), HOUR);
    expect(selectors(life.keys('active'))).toEqual([old.selector]);
    life.live(200 * DAY);
    expect(selectors(life.keys('active'))).toEqual([old.selector]);
    expect(life.reasons()).toContain('rotation-held');
    expect(life.key(fresh.id).state).toBe('removed');
    life.happen({ kind: 'resumed', at: life.now, stream: 'default' });
    life.until(rotated(old), DAY);
    expect(life.violations).toEqual([]);
  });

  it('before the old key has left only takes the new one back', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.answer = (step, at) =>
      step.kind === 'deliver' ? [{ kind: 'not-acknowledged', at, signerId: 'mta', message: 'busy' }] : undefined;
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.live(HOUR);
    life.happen({ kind: 'rolled-back', at: life.now, stream: 'default' });
    life.answer = () => undefined;
    life.live(3 * HOUR);
    expect(selectors(life.keys('active'))).toEqual([old.selector]);
    expect(life.violations).toEqual([]);
  });

  it('still works where a server of the old key could not be asked for a while', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.answer = finding('unreachable', (key) => key.id === old.id);
    life.live(DAY);
    life.answer = () => undefined;
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.until(rotated(old), 2 * DAY);
    const fresh = firstActive(life);
    life.answer = finding('unreachable', (key) => key.id === old.id);
    life.live(DAY);
    life.answer = () => undefined;
    life.happen({ kind: 'rolled-back', at: life.now, stream: 'default' });
    life.until(rotated(fresh), DAY);
    expect(selectors(life.keys('active'))).toEqual([old.selector]);
    expect(life.violations).toEqual([]);
  });

  it('is refused where the record of the only key that could come back has been away', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.until(rotated(old), 2 * DAY);
    life.answer = finding('missing', (key) => key.id === old.id);
    life.live(DAY);
    const before = life.snapshot;
    life.happen({ kind: 'rolled-back', at: life.now, stream: 'default' });
    expect(life.snapshot).toBe(before);
    expect(life.keys('active').map((key) => key.rejectedAt)).toEqual([null]);
  });

  it('is refused once the old key is revoked', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.live(20 * DAY);
    expect(life.key(old.id).state).toBe('revoked');
    const before = life.snapshot;
    life.happen({ kind: 'rolled-back', at: life.now, stream: 'default' });
    expect(life.snapshot).toBe(before);
  });
});

describe('a record that is not as it should be', () => {
  it('is emptied again where a compromised key comes back after its revocation', () => {
    const life = settledLife({ keys: rsa });
    const key = firstActive(life);
    life.happen({ kind: 'compromised', at: life.now, keyId: key.id });
    life.until((s) => s.keys.some((k) => k.id === key.id && k.state === 'revoked'), DAY);
    life.live(DAY);
    let isBack = true;
    const seenBefore = life.steps.length;
    life.answer = (step, now, snapshot) => {
      if (step.kind === 'write-record' && step.keyId === key.id) isBack = step.record === 'key';
      return isBack ? finding('mismatched', (k) => k.id === key.id)(step, now, snapshot) : undefined;
    };
    life.live(DAY);
    expect(isBack).toBe(false);
    const writes = life.steps
      .slice(seenBefore)
      .filter(({ step }) => step.kind === 'write-record' && step.keyId === key.id);
    expect(writes).toHaveLength(1);
    expect(life.violations).toEqual([]);
  });

  it('is written again at once, and the key stays while it comes back', () => {
    const life = settledLife({ keys: rsa });
    const key = firstActive(life);
    let gone = true;
    life.answer = (step, now, snapshot) => {
      if (step.kind === 'write-record' && step.keyId === key.id) gone = false;
      return gone ? finding('missing', (k) => k.id === key.id)(step, now, snapshot) : undefined;
    };
    life.live(2 * DAY);
    expect(life.key(key.id).state).toBe('active');
    expect(life.reasons()).not.toContain('record-missing');
  });

  it('for long fails over to the standby key, and the broken key leaves', () => {
    const life = settledLife({ keys: rsa });
    const key = firstActive(life);
    life.answer = finding('mismatched', (k) => k.id === key.id);
    life.until((s) => s.keys.filter((k) => k.state === 'active').length === 2, 2 * DAY);
    expect(life.reasons()).toContain('record-mismatched');
    life.until(rotated(key), HOUR);
    expect(life.violations).toEqual([]);
  });

  it('that cannot be asked for changes nothing', () => {
    const life = settledLife({ keys: rsa });
    const key = firstActive(life);
    life.answer = finding('unreachable', () => true);
    life.live(300 * DAY);
    expect(selectors(life.keys('active'))).toEqual([key.selector]);
    expect(life.reasons()).toEqual(expect.arrayContaining(['record-unreachable', 'no-healthy-key']));
  });

  it('is written by a person where the publisher is one', () => {
    const life = newLife({ keys: rsa });
    const asked = new Map<string, number>();
    life.answer = (step, at, snapshot) => {
      if (step.kind === 'write-record') {
        if (!asked.has(`${step.keyId} ${step.record}`)) asked.set(`${step.keyId} ${step.record}`, at);
        return [{ kind: 'record-not-written', at, keyId: step.keyId, reason: 'waiting', message: 'set it by hand' }];
      }
      if (step.kind !== 'prove') return undefined;
      const since = asked.get(`${step.keyId} ${step.expected}`);
      return since !== undefined && at - since > 5 * HOUR
        ? undefined
        : finding('missing', () => true)(step, at, snapshot);
    };
    life.live(HOUR);
    expect(life.reasons()).toContain('record-waiting');
    life.until((s) => s.domain.firstActiveAt !== null, DAY);
    life.live(DAY);
    expect(life.reasons()).not.toContain('record-waiting');
    const old = firstActive(life);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.until((s) => s.keys.some((key) => key.id === old.id && key.state === 'removed'), 60 * DAY);
    expect(life.violations).toEqual([]);
  });
});
