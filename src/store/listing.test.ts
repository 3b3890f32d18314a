import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anySnapshot, keyStates, plainKey, plainSnapshot } from '../../tests/store/arbitraries.ts';
import { stores } from '../../tests/store/stores.ts';
import { add } from '../../tests/store/support.ts';
import type { Snapshot } from '../lifecycle/types.ts';
import type { DomainFilter, KeyFilter, Page, PageRequest } from './store.ts';

async function everything<T>(list: (page: PageRequest) => Promise<Page<T>>, limit: number): Promise<T[]> {
  const items: T[] = [];
  for (let after: string | null = null; ; ) {
    const page = await list({ limit, after });
    expect(page.items.length).toBeLessThanOrEqual(limit);
    items.push(...page.items);
    after = page.next;
    if (after === null) return items;
  }
}

function matches({ domain, keys, conditions }: Snapshot, filter: DomainFilter): boolean {
  return (
    (filter.kind === undefined || domain.kind === filter.kind) &&
    (filter.keyState === undefined || keys.some((k) => k.state === filter.keyState)) &&
    (filter.reason === undefined || conditions.some((c) => c.reason === filter.reason)) &&
    (filter.severity === undefined || conditions.some((c) => c.severity === filter.severity)) &&
    (filter.prefix === undefined || domain.name.startsWith(filter.prefix)) &&
    (filter.policy === undefined || filter.policy === 'default')
  );
}

const names = [
  'a.example',
  'ab.example',
  'abc.example',
  'b.example',
  'ba.example',
  'mail.a.example',
  'z.example',
  'zz.example',
];

const anyFilter: fc.Arbitrary<DomainFilter> = fc.record(
  {
    kind: fc.constantFrom('mail' as const, 'shadow' as const),
    keyState: fc.constantFrom(...keyStates),
    reason: fc.constantFrom('record-missing', 'signer-behind', 'no-such-reason'),
    severity: fc.constantFrom('info' as const, 'warning' as const, 'critical' as const),
    policy: fc.constantFrom('default', 'other'),
    prefix: fc.constantFrom('a', 'ab', 'mail.', 'zz', 'x'),
  },
  { requiredKeys: [] },
);

describe.each(stores)('on $name', ({ open, runs }) => {
  describe('domains', () => {
    test('every filter gives what a look at each snapshot gives, in order of name, by pages of any size', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.tuple(...names.map((name) => anySnapshot(name))),
          fc.array(anyFilter, { minLength: 12, maxLength: 12 }),
          fc.integer({ min: 1, max: 9 }),
          async (snapshots, filters, limit) => {
            await using store = await open();
            for (const snapshot of snapshots) await add(store, snapshot);
            for (const filter of filters) {
              const rows = await everything((page) => store.listDomains(filter, page), limit);
              const expected = snapshots.filter((s) => matches(s, filter));
              expect(
                rows.map((r) => r.name),
                JSON.stringify(filter),
              ).toStrictEqual(expected.map((s) => s.domain.name).toSorted());
              for (const row of rows) {
                const snapshot = expected.find((s) => s.domain.name === row.name);
                expect(row.conditions).toBe(snapshot?.conditions.length);
                expect(Object.values(row.keys).reduce((sum, n) => sum + n, 0)).toBe(snapshot?.keys.length);
                const worst = (['critical', 'warning', 'info'] as const).find((s) =>
                  snapshot?.conditions.some((c) => c.severity === s),
                );
                expect(row.severity).toBe(worst ?? null);
              }
            }
          },
        ),
        { numRuns: runs(40), endOnFailure: true },
      );
    });

    test('a page of more than a thousand, or a cursor from elsewhere, is refused', async () => {
      await using store = await open();
      await expect(store.listDomains({}, { limit: 1001 })).rejects.toMatchObject({ code: 'invalid' });
      await expect(store.listKeys({}, { after: 'nonsense' })).rejects.toMatchObject({ code: 'invalid' });
    });
  });

  test('keys: by domain, by state, and the longest active first', async () => {
    await using store = await open();
    const keysOf = (name: string, ages: readonly number[]) =>
      ages.map((age, n) => plainKey(`${name}-${n}`, { state: n === 0 ? 'retiring' : 'active', activatedAt: age }));
    await add(store, plainSnapshot('b.example', { keys: keysOf('b', [1, 50, 10]) }));
    await add(store, plainSnapshot('a.example', { keys: keysOf('a', [2, 30, 30, 70]) }));
    const ids = async (filter: KeyFilter) =>
      (await everything((page) => store.listKeys(filter, page), 2)).map((k) => k.id);
    expect(await ids({})).toStrictEqual(['a-0', 'a-1', 'a-2', 'a-3', 'b-0', 'b-1', 'b-2']);
    expect(await ids({ domain: 'b.example' })).toStrictEqual(['b-0', 'b-1', 'b-2']);
    expect(await ids({ state: 'retiring' })).toStrictEqual(['a-0', 'b-0']);
    expect(await ids({ state: 'active', activatedBefore: 60 })).toStrictEqual(['b-2', 'a-1', 'a-2', 'b-1']);
    expect(await ids({ activatedBefore: 60, domain: 'a.example' })).toStrictEqual(['a-1', 'a-2']);
    expect(await store.findKey('b-1')).toMatchObject({ domain: 'b.example', id: 'b-1', state: 'active' });
    expect(await store.findKey('none')).toBeNull();
  });
});
