import { describe, expect, it } from 'vitest';
import { plan } from './plan.ts';
import type { Policy } from './policy.ts';
import { type Answer, DAY, HOUR, type Life, newLife, START, settledLife } from './testing.ts';
import type { KeyView, ProofSummary, Snapshot, Verdict } from './types.ts';

const rsa: Policy['keys'] = [{ algorithm: 'rsa', bits: 2048, count: 1 }];

function selectors(keys: readonly KeyView[]): readonly string[] {
  return keys.map((key) => key.selector);
}

function firstActive(life: Life): KeyView {
  const [key] = life.keys('active');
  if (key === undefined) throw new Error('nothing is active');
  return key;
}

function proofOf(verdict: Verdict, at: number, expected: ProofSummary['expected'] = 'key'): ProofSummary {
  return {
    at,
    expected,
    verdict,
    serversAsked: 2,
    serversAgreeing: verdict === 'seen' ? 2 : 1,
    ttl: 300,
    negativeTtl: 300,
  };
}

/** Answers proofs of some keys by another verdict. */
function finding(verdict: Verdict, which: (key: KeyView) => boolean): Answer {
  return (step, now, snapshot) => {
    if (step.kind !== 'prove') return undefined;
    const key = snapshot.keys.find((k) => k.id === step.keyId);
    if (key === undefined || !which(key)) return undefined;
    return [{ kind: 'proved', keyId: key.id, proof: proofOf(verdict, now, step.expected) }];
  };
}

function rotated(old: KeyView): (snapshot: Snapshot) => boolean {
  return (snapshot) => snapshot.keys.some((key) => key.id === old.id && key.state === 'retiring');
}

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
