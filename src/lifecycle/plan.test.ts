import { describe, expect, it } from 'vitest';
import { plan } from './plan.ts';
import { finding, firstActive, proofOf, rotated, rsa, selectors } from './plan-testing.ts';
import { DAY, HOUR, newLife, START, settledLife } from './testing.ts';

describe('the first keys of a domain', () => {
  it('sign once the negative caches have run out, all kinds in one change', () => {
    const life = newLife();
    life.until((s) => s.domain.firstActiveAt !== null, DAY);
    expect(selectors(life.keys('active'))).toEqual(['kt20261124rsa1', 'kt20261124ed1']);
    expect(life.snapshot.domain.generation).toBe(1);
    const waited = life.now - START;
    expect(waited).toBeGreaterThanOrEqual(300_000);
    expect(waited).toBeLessThan(15 * 60_000);
    expect(life.violations).toEqual([]);
  });

  it('do not sign while one name server does not show them', () => {
    const life = newLife(
      {},
      'mail',
      finding('missing', (key) => key.algorithm === 'rsa'),
    );
    life.live(10 * DAY);
    expect(life.snapshot.keys.some((key) => key.algorithm === 'rsa' && key.state === 'active')).toBe(false);
    expect(life.reasons()).toContain('record-missing');
    life.answer = () => undefined;
    life.until((s) => s.keys.filter((key) => key.state === 'active').length === 2, 2 * DAY);
    expect(life.violations).toEqual([]);
  });

  it('wait for a signer', () => {
    const life = newLife({ keys: rsa });
    life.happen({ kind: 'signer-removed', at: START, signerId: 'mta' });
    life.live(5 * DAY);
    expect(life.keys('active')).toEqual([]);
    expect(life.reasons()).toContain('no-signer');
  });

  it('stay ready and unused in a shadow domain', () => {
    const life = newLife({}, 'shadow');
    life.live(300 * DAY);
    expect(life.keys('standby')).toHaveLength(2);
    expect(life.snapshot.domain.generation).toBe(0);
  });
});

describe('a rotation', () => {
  it('comes when the period is over: the successor enters, is loaded and tried, and only then the old key leaves', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.until(rotated(old), 121 * DAY);
    expect(life.now - (old.activatedAt ?? 0)).toBeGreaterThanOrEqual(120 * DAY);
    const kinds = life.steps.filter(({ at }) => at > life.now - HOUR).map(({ step }) => step.kind);
    const order = ['change-active', 'deliver', 'self-test', 'change-active', 'deliver'];
    let i = 0;
    for (const kind of kinds) if (kind === order[i]) i++;
    expect(i).toBeGreaterThanOrEqual(4);
    life.live(15 * DAY);
    expect(life.key(old.id).state).toBe('revoked');
    life.live(32 * DAY);
    expect(life.key(old.id).state).toBe('removed');
    expect(life.key(old.id).privateKeyDestroyedAt).not.toBeNull();
    expect(life.violations).toEqual([]);
  });

  it('comes when it is asked for, and is over when every key is new', () => {
    const life = settledLife();
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    const before = selectors(life.keys('active'));
    life.live(HOUR);
    expect(life.keys('active').some((key) => before.includes(key.selector))).toBe(false);
    expect(life.keys('active')).toHaveLength(2);
    const generation = life.snapshot.domain.generation;
    life.live(30 * DAY);
    expect(life.snapshot.domain.generation).toBe(generation);
  });

  it('does not end while a signer has not acknowledged the new keys', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.answer = (step, at) =>
      step.kind === 'deliver'
        ? [{ kind: 'not-acknowledged', at, signerId: 'mta', message: 'no answer from mta' }]
        : undefined;
    life.live(60 * DAY);
    expect(life.keys('active')).toHaveLength(2);
    expect(life.key(old.id).state).toBe('active');
    expect(life.reasons()).toContain('signer-not-acknowledging');
    life.answer = () => undefined;
    life.until(rotated(old), DAY);
    expect(life.violations).toEqual([]);
  });

  it('names the signer of which nothing is heard, and looks for it ever more seldom', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.happen({ kind: 'signer-added', at: life.now, signerId: 'renamed', streams: ['default'] });
    life.live(HOUR);
    expect(life.reasons()).not.toContain('signer-silent');
    // Its process is gone: what is meant for it is carried out by nobody.
    life.answer = (step) => ('signerId' in step && step.signerId === 'renamed' ? [] : undefined);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.live(2 * DAY);
    expect(selectors(life.keys('active'))).toContain(old.selector);
    const silent = life.snapshot.conditions.find(({ reason }) => reason === 'signer-silent');
    expect(silent).toMatchObject({ subject: { id: 'renamed' }, severity: 'warning' });
    const asked = life.steps.filter(({ at, step }) => step.kind === 'deliver' && at > life.now - DAY);
    expect(asked.length).toBeGreaterThan(10);
    expect(asked.length).toBeLessThan(60);
    life.happen({ kind: 'signer-set-aside', at: life.now, signerId: 'renamed' });
    life.until(rotated(old), DAY);
    expect(life.reasons()).not.toContain('signer-silent');
    const before = life.steps.length;
    life.live(DAY);
    expect(life.steps.slice(before).filter(({ step }) => step.kind === 'deliver').length).toBeLessThan(60);
    expect(life.violations).toEqual([]);
  });

  it('goes on without a signer that an operator has set aside', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.happen({ kind: 'signer-added', at: life.now, signerId: 'dead', streams: ['default'] });
    life.answer = (step, at) =>
      step.kind === 'deliver' && step.signerId === 'dead'
        ? [{ kind: 'not-acknowledged', at, signerId: 'dead', message: 'gone' }]
        : undefined;
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.live(10 * DAY);
    expect(life.key(old.id).state).toBe('active');
    life.happen({ kind: 'signer-set-aside', at: life.now, signerId: 'dead' });
    life.until(rotated(old), DAY);
    expect(life.reasons()).toContain('signer-set-aside');
  });

  it('does not end while no signature of the new key has been seen', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.answer = (step, at) =>
      step.kind === 'self-test'
        ? [{ kind: 'self-test-failed', at, signerId: 'mta', keyId: step.keyId, message: 'unsigned' }]
        : undefined;
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.live(20 * DAY);
    expect(life.key(old.id).state).toBe('active');
    expect(life.reasons()).toContain('self-test-failed');
    const successor = life.keys('active').find((key) => key.id !== old.id);
    life.happen({ kind: 'signature-seen', at: life.now, signerId: 'mta', keyId: successor?.id ?? '' });
    life.until(rotated(old), HOUR);
  });

  it('waits for approval where the policy asks for it', () => {
    const life = settledLife({ keys: rsa, approval: 'required' });
    const old = firstActive(life);
    life.live(130 * DAY);
    expect(life.key(old.id).state).toBe('active');
    expect(life.reasons()).toContain('approval-awaited');
    life.happen({ kind: 'rotation-approved', at: life.now, stream: 'default' });
    life.until(rotated(old), HOUR);
    life.live(130 * DAY);
    expect(life.reasons()).toContain('approval-awaited');
  });

  it('waits while the stream or the domain is paused, and for the end of a freeze', () => {
    for (const hold of ['stream', 'domain'] as const) {
      const life = settledLife({ keys: rsa });
      const old = firstActive(life);
      const stream = hold === 'stream' ? 'default' : null;
      life.happen({ kind: 'paused', at: life.now, stream });
      life.live(200 * DAY);
      expect(life.key(old.id).state).toBe('active');
      life.happen({ kind: 'resumed', at: life.now, stream });
      life.until(rotated(old), DAY);
    }
    const until = START + 150 * DAY;
    const life = settledLife({ keys: rsa, freeze: [{ kind: 'dates', from: START + 100 * DAY, to: until }] });
    const old = firstActive(life);
    life.until(rotated(old), 160 * DAY);
    expect(life.now).toBeGreaterThanOrEqual(until);
    expect(life.now).toBeLessThan(until + DAY);
  });

  it('starts the overlap anew when the old key is seen to sign', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.until(rotated(old), DAY);
    life.live(10 * DAY);
    life.happen({ kind: 'signature-seen', at: life.now, signerId: 'mta', keyId: old.id });
    life.live(10 * DAY);
    expect(life.key(old.id).state).toBe('retiring');
    life.live(5 * DAY);
    expect(life.key(old.id).state).toBe('revoked');
  });

  it('lowers the TTL before the record is revoked', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    expect(old.written?.ttl).toBe(3600);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.until((s) => s.keys.some((key) => key.id === old.id && key.written?.ttl === 300), 14 * DAY);
    expect(life.key(old.id).state).toBe('retiring');
  });
});

describe('the end of a domain', () => {
  it('looks again soon where a tombstone began between two looks', () => {
    const life = settledLife({ keys: rsa });
    life.happen({ kind: 'removal-requested', at: life.now });
    life.until(
      ({ keys }) =>
        keys.some((key) => key.state === 'revoked' && key.proof?.verdict === 'seen' && key.enteredGeneration),
      60 * DAY,
    );
    // The proof came a moment after the look that asked for it, and this is the next one.
    const [key] = life.keys('revoked');
    const began = key?.provedSince ?? life.now;
    const domain = { ...life.snapshot.domain, lastLookAt: began - 18 };
    const keys = life.snapshot.keys.map((each) => ({ ...each, waited: 0 }));
    const next = plan({ ...life.snapshot, domain, keys }, { ...life.policy, tombstone: 3000 }, began);
    expect(next.waits).toEqual({});
    expect(next.nextLookAt - began).toBeLessThanOrEqual(3000);
  });

  it('comes after overlap and tombstone, and leaves nothing behind', () => {
    const life = settledLife();
    life.happen({ kind: 'removal-requested', at: life.now });
    life.live(10 * DAY);
    expect(life.keys('retiring')).toHaveLength(2);
    expect(life.keys('active')).toEqual([]);
    life.live(40 * DAY);
    expect(life.snapshot.keys.every((key) => key.state === 'removed' && key.privateKeyDestroyedAt !== null)).toBe(true);
    expect(life.steps.at(-1)?.step.kind).toBe('forget-domain');
    expect(life.violations).toEqual([]);
  });
});

describe('time', () => {
  it('is never planned further ahead than a day', () => {
    const life = settledLife({ watchEvery: 30 * DAY });
    for (let i = 0; i < 50; i++) {
      const { nextLookAt } = plan(life.snapshot, life.policy, life.now);
      expect(nextLookAt - life.now).toBeLessThanOrEqual(DAY);
      life.live(DAY);
    }
  });

  it('that jumps forward credits no more than a sixteenth of a wait', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.until(rotated(old), DAY);
    life.live(DAY);
    const { waited } = life.key(old.id);
    life.now += 400 * DAY;
    life.live(0);
    expect(life.key(old.id).waited - waited).toBeLessThanOrEqual((14 * DAY) / 16);
    expect(life.key(old.id).state).toBe('retiring');
  });

  it('that jumps back only lengthens it, and all goes on', () => {
    const life = settledLife({ keys: rsa });
    const old = firstActive(life);
    life.happen({ kind: 'rotation-requested', at: life.now, stream: 'default' });
    life.until(rotated(old), DAY);
    life.live(5 * DAY);
    const { waited } = life.key(old.id);
    life.now -= 300 * DAY;
    life.live(1000);
    expect(life.key(old.id).waited).toBeGreaterThanOrEqual(waited);
    life.live(8 * DAY);
    expect(life.key(old.id).state).toBe('retiring');
    life.until((s) => s.keys.some((key) => key.id === old.id && key.state === 'revoked'), 3 * DAY);
  });

  it('may be counted in seconds: a policy of seconds rotates in seconds', () => {
    const second = 1000;
    const life = newLife({
      lead: 2 * second,
      overlap: 5 * second,
      tombstone: 3 * second,
      rotateEvery: 20 * second,
      ttl: 1,
      ttlAhead: 1,
      proofFresh: second,
      watchEvery: 5 * second,
    });
    life.answer = (step, at) =>
      step.kind === 'prove'
        ? [{ kind: 'proved', keyId: step.keyId, proof: { ...proofOf('seen', at, step.expected), negativeTtl: 1 } }]
        : undefined;
    life.until((s) => s.domain.firstActiveAt !== null, 5 * second);
    life.live(60 * second);
    expect(life.keys('removed').length).toBeGreaterThanOrEqual(2);
    expect(life.violations).toEqual([]);
  });

  it('a record that flickers starts the wait for the negative cache anew', () => {
    const life = newLife({ keys: rsa, standby: 0 });
    life.live(200_000);
    const [key] = life.keys('published');
    expect(key?.waited).toBeGreaterThan(0);
    life.happen({ kind: 'proved', keyId: key?.id ?? '', proof: proofOf('missing', life.now) });
    expect(life.key(key?.id ?? '').waited).toBe(0);
  });
});
