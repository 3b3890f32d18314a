/** Every two things that operators and the world may do to a domain that signs, in either order, a third after them, and what must hold. */
import { describe, expect, it } from 'vitest';
import { isAtGoal } from './simulate/goal.ts';
import { type Answer, DAY, HOUR, type Life, newLife, settledLife } from './testing.ts';
import type { KeyState, KeyView, ProofSummary, Verdict } from './types.ts';

const stream = 'default';
const rsa = { algorithm: 'rsa', bits: 2048, count: 1 } as const;
const ed = { algorithm: 'ed25519', bits: 256, count: 1 } as const;
const proof = { serversAsked: 2, serversAgreeing: 1, ttl: null, negativeTtl: 300 } as const;

type Deed = (life: Life) => void;

function finds(verdict: Verdict, which: (keyId: string) => boolean): Answer {
  return (step, at) => {
    if (step.kind !== 'prove' || step.expected !== 'key' || !which(step.keyId)) return undefined;
    const found: ProofSummary = { ...proof, at, expected: step.expected, verdict };
    return [{ kind: 'proved', keyId: step.keyId, proof: found }];
  };
}

function compromise(which: (key: KeyView) => boolean): Deed {
  return (life) => {
    for (const { id } of life.snapshot.keys.filter(which))
      life.happen({ kind: 'compromised', at: life.now, keyId: id });
  };
}

function firstIn(state: KeyState): Deed {
  return (life) => {
    const first = life.keys(state)[0];
    if (first !== undefined) compromise(({ id }) => id === first.id)(life);
  };
}

const deeds: Readonly<Record<string, Deed>> = {
  rotate: (life) => life.happen({ kind: 'rotation-requested', at: life.now, stream }),
  'roll back': (life) => life.happen({ kind: 'rolled-back', at: life.now, stream }),
  pause: (life) => life.happen({ kind: 'paused', at: life.now, stream: null }),
  resume: (life) => life.happen({ kind: 'resumed', at: life.now, stream: null }),
  'active key compromised': firstIn('active'),
  'standby key compromised': firstIn('standby'),
  'retiring key compromised': firstIn('retiring'),
  'all keys compromised': compromise(({ state }) => state !== 'revoked' && state !== 'removed'),
  'RSA-4096 alone': (life) => {
    const policy = { ...life.policy, keys: [{ ...rsa, bits: 4096 }] };
    life.happen({ kind: 'policy-set', at: life.now, stream, policy });
  },
  'Ed25519 alone': (life) =>
    life.happen({ kind: 'policy-set', at: life.now, stream, policy: { ...life.policy, keys: [ed] } }),
  'signer added': (life) => life.happen({ kind: 'signer-added', at: life.now, signerId: 'second', streams: [stream] }),
  'signer removed': (life) => life.happen({ kind: 'signer-removed', at: life.now, signerId: 'mta' }),
  'signer set aside': (life) => life.happen({ kind: 'signer-set-aside', at: life.now, signerId: 'mta' }),
  'key imported': (life) => {
    const id = `old-${life.snapshot.keys.length}`;
    const key = { id, stream, selector: id, algorithm: 'rsa', bits: 2048, publicKey: id, ownership: 'ours' } as const;
    life.happen({ kind: 'key-imported', at: life.now, key });
  },
  'servers silent': (life) => {
    life.answer = finds('unreachable', () => true);
  },
  'records gone': (life) => {
    const gone = new Set([...life.keys('active'), ...life.keys('standby')].slice(0, 2).map(({ id }) => id));
    life.answer = finds('missing', (id) => gone.has(id));
  },
  'signer deaf': (life) => {
    life.answer = (step, at) =>
      step.kind === 'deliver'
        ? [{ kind: 'not-acknowledged', at, signerId: step.signerId, message: 'no answer' }]
        : undefined;
  },
  'all is well': (life) => {
    life.answer = () => undefined;
  },
  'an hour': (life) => life.live(HOUR),
  'three days': (life) => life.live(3 * DAY),
  'twenty days': (life) => life.live(20 * DAY),
};

const policy = { keys: [rsa, ed], standby: 1 };
const settled = settledLife(policy);

/** What is wrong after these deeds, in words; nothing where all is well. */
function after(chosen: readonly Deed[]): readonly string[] {
  const life = newLife(policy);
  life.snapshot = settled.snapshot;
  life.now = settled.now;
  const faults: string[] = [];
  const look = (when: string): void => {
    if (life.keys('active').length === 0) faults.push(`nothing signs ${when}`);
  };
  for (const deed of chosen) {
    deed(life);
    look('between');
  }
  life.live(3 * HOUR);
  look('hours after');
  life.answer = () => undefined;
  if (life.snapshot.signers.length === 0)
    life.happen({ kind: 'signer-added', at: life.now, signerId: 'mta', streams: [stream] });
  for (const { id } of life.snapshot.signers) life.happen({ kind: 'signer-brought-back', at: life.now, signerId: id });
  life.happen({ kind: 'resumed', at: life.now, stream: null });
  life.live(70 * DAY);
  look('in the end');
  if (!isAtGoal(life.snapshot, life.policy, life.now)) faults.push(`not at its goal: ${life.reasons().join(', ')}`);
  if (life.snapshot.conditions.length > 0) faults.push(`complains: ${life.reasons().join(', ')}`);
  for (const key of life.snapshot.keys)
    if (key.compromisedAt !== null && key.state !== 'revoked' && key.state !== 'removed')
      faults.push(`a compromised key is ${key.state}`);
  return [...faults, ...life.violations];
}

describe('a domain that signs keeps signing, breaks no rule and reaches its goal', () => {
  const names = Object.keys(deeds);
  it.each(names)('after "%s" and any other', (first) => {
    const found: string[] = [];
    for (const second of names)
      for (const third of ['an hour', 'roll back', 'all keys compromised']) {
        const chosen = [first, second, third];
        const faults = after(chosen.flatMap((name) => deeds[name] ?? []));
        if (faults.length > 0) found.push(`${chosen.join(', ')}: ${faults.join('; ')}`);
      }
    expect(found).toEqual([]);
  });
});
