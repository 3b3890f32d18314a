import { describe, expect, test } from 'vitest';
import { newDomain } from '../lifecycle/new-domain.ts';
import type { Outcome, Snapshot } from '../lifecycle/types.ts';
import { type Binding, bindToAll, boundStreams, signerOutcomes } from './bindings.ts';
import { fold } from './fold.ts';

const actor = { name: 'test', source: 'cli' } as const;
const rsaOnly = { algorithms: ['rsa'], atMost: 1 } as const;

function domain(name: string, ...streams: string[]): Snapshot {
  const added = streams.map((stream): Outcome => ({ kind: 'stream-added', at: 1, stream, policy: null }));
  return fold(newDomain(name, 'mail', 1), added, actor).snapshot;
}

const bind = (part: Partial<Binding>): Binding => ({ ...bindToAll('s'), ...part });

describe('a binding', () => {
  test('takes domains by name, by what lies below a name, and all', () => {
    const below = bind({ domains: ['*.example.com'] });
    expect(boundStreams(below, 'mail.example.com', ['default'])).toEqual(['default']);
    expect(boundStreams(below, 'example.com', ['default'])).toEqual([]);
    expect(boundStreams(below, 'notexample.com', ['default'])).toEqual([]);
    expect(boundStreams(bind({ domains: ['example.com'] }), 'example.com', ['default'])).toEqual(['default']);
    expect(boundStreams(bind({ domains: ['example.com'] }), 'mail.example.com', ['default'])).toEqual([]);
    expect(boundStreams(bind({ except: ['*.test', 'a.example'] }), 'x.test', ['default'])).toEqual([]);
    expect(boundStreams(bind({ except: ['*.test', 'a.example'] }), 'b.example', ['default'])).toEqual(['default']);
  });

  test('takes the streams that it names, of those that there are', () => {
    expect(boundStreams(bind({ streams: ['news', 'crm'] }), 'a.example', ['default', 'news'])).toEqual(['news']);
  });
});

describe('what a domain has to learn of its signers', () => {
  const at = 5;

  test('is nothing once it knows them', () => {
    const bindings = [bindToAll('m'), bind({ signerId: 'ses', streams: ['news'], abilities: rsaOnly })];
    const first = signerOutcomes(domain('a.example', 'news'), bindings, at);
    expect(first).toEqual([
      { kind: 'signer-added', at, signerId: 'm', streams: ['default', 'news'] },
      { kind: 'signer-added', at, signerId: 'ses', streams: ['news'], abilities: rsaOnly },
    ]);
    const { snapshot, refused } = fold(domain('a.example', 'news'), first, actor);
    expect(refused).toEqual([]);
    expect(signerOutcomes(snapshot, bindings, at)).toEqual([]);
  });

  test('is a stream that came, and abilities that changed; what it has signed so far it goes on being asked about', () => {
    const only = bind({ signerId: 'm', streams: ['news'] });
    const known = fold(domain('a.example'), signerOutcomes(domain('a.example'), [bindToAll('m')], at), actor).snapshot;
    const wider = fold(known, [{ kind: 'stream-added', at, stream: 'news', policy: null }], actor).snapshot;
    expect(signerOutcomes(wider, [only], at)).toEqual([
      { kind: 'signer-added', at, signerId: 'm', streams: ['default', 'news'] },
    ]);
    const changed = fold(known, signerOutcomes(known, [bindToAll('m', rsaOnly)], at), actor).snapshot;
    expect(changed.signers).toMatchObject([{ id: 'm', abilities: rsaOnly }]);
    const back = fold(changed, signerOutcomes(changed, [bindToAll('m')], at), actor).snapshot;
    expect(back.signers[0]).not.toHaveProperty('abilities');
  });

  test('is nothing for a shadow domain, and for one that leaves', () => {
    expect(signerOutcomes(newDomain('s.example', 'shadow', 1), [bindToAll('m')], at)).toEqual([]);
    const leaving = fold(domain('a.example'), [{ kind: 'removal-requested', at }], actor).snapshot;
    expect(signerOutcomes(leaving, [bindToAll('m')], at)).toEqual([]);
  });
});
