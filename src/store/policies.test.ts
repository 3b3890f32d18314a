import { describe, expect, test } from 'vitest';
import { plainSnapshot } from '../../tests/store/arbitraries.ts';
import { stores } from '../../tests/store/stores.ts';
import { add, event, read } from '../../tests/store/support.ts';
import { defaultPolicy } from '../lifecycle/policy.ts';

describe.each(stores)('on $name', ({ open }) => {
  test('there is a default policy; a changed one wakes those that follow it, also during a look', async () => {
    await using store = await open();
    expect(await store.policy('default')).toStrictEqual(defaultPolicy);
    await add(store, plainSnapshot('a.example'), 50_000);
    await add(store, plainSnapshot('b.example'), 10);
    const [claim] = await store.claimDue({ now: 100, limit: 1, owner: 'o', leaseMs: 1_000 });
    expect(claim?.name).toBe('b.example');
    const changed = { ...defaultPolicy, standby: 2 };
    expect(await store.putPolicy('default', defaultPolicy, [event(null, 'policy-set')], 200)).toBe('unchanged');
    expect(await store.putPolicy('default', changed, [event(null, 'policy-set')], 200)).toBe('changed');
    expect(await store.nextDueAt()).toBe(200);
    expect((await read(store, 'a.example')).policy).toStrictEqual(changed);
    if (!claim) throw new Error('nothing was due');
    await store.release(claim, 90_000);
    expect((await read(store, 'b.example')).nextLookAt).toBe(200);
    expect((await store.journal.list({})).items.filter((e) => e.kind === 'policy-set')).toHaveLength(1);
  });

  test('a policy in use stays; a domain may have one of its own', async () => {
    await using store = await open();
    expect(await store.putPolicy('careful', { ...defaultPolicy, approval: 'required' }, [], 0)).toBe('made');
    const { snapshot, version } = await add(store, plainSnapshot('a.example'));
    await store.commit(
      { name: 'a.example', version },
      { before: snapshot, after: snapshot, events: [], policy: { kind: 'named', name: 'careful' } },
    );
    expect((await store.policies()).map(({ name, domains }) => [name, domains])).toStrictEqual([
      ['careful', 1],
      ['default', 0],
    ]);
    expect(await store.removePolicy('careful', [])).toBe('in-use');
    const policy = { ...defaultPolicy, ttl: 60 };
    await store.commit(
      { name: 'a.example', version: version + 1 },
      { before: snapshot, after: snapshot, events: [], policy: { kind: 'own', policy } },
    );
    expect(await read(store, 'a.example')).toMatchObject({ policy, policyRef: { kind: 'own' } });
    expect(await store.removePolicy('careful', [])).toBe('removed');
    expect(await store.removePolicy('careful', [])).toBe('missing');
  });
});
