import fc from 'fast-check';
import { expect, test } from 'vitest';
import { editTree, emptyTree, findName, namesOf } from './name-tree.ts';

const apex = 'example.test';
const label = fc.constantFrom('a', 'b');
const name = fc.array(label, { maxLength: 3 }).map((labels) => [...labels, apex].join('.'));
const edit = fc.tuple(name, fc.option(fc.integer(), { freq: 3 }));

/** What must be there, worked out the slow way: every name with a value, and every name between it and the apex. */
function expected(values: ReadonlyMap<string, number>): Map<string, number | null> {
  const names = new Map<string, number | null>([[apex, values.get(apex) ?? null]]);
  for (const [at, value] of values) {
    for (let host = at; host !== apex; host = host.slice(host.indexOf('.') + 1)) {
      names.set(host, values.get(host) ?? null);
    }
    names.set(at, value);
  }
  return names;
}

test('after any edits it holds the values and the empty non-terminals above them, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.array(edit, { maxLength: 5 }), { maxLength: 12 }), (rounds) => {
      const values = new Map<string, number>();
      let tree = emptyTree<number>(apex);
      const change = (edits: readonly (readonly [string, number | null])[]): void => {
        const before = new Map(namesOf(tree));
        const next = editTree(tree, edits);
        expect(new Map(namesOf(tree))).toEqual(before);
        tree = next;
        for (const [at, value] of edits) {
          if (value === null) values.delete(at);
          else values.set(at, value);
        }
        const names = expected(values);
        expect(tree.size).toBe(names.size);
        for (const [at, value] of names) expect(findName(tree, at)).toBe(value);
        expect(findName(tree, `zz.${apex}`)).toBeUndefined();
        expect(new Map(namesOf(tree))).toEqual(values);
      };
      for (const edits of rounds) change(edits);
      // And all the way back.
      for (const at of [...values.keys()]) change([[at, null]]);
    }),
  );
});

test('a large zone is spread over buckets, and keeps every name while it grows and shrinks', () => {
  const names = Array.from({ length: 20_000 }, (_, i) => `s${i}._domainkey.${apex}`);
  const full = editTree(
    emptyTree<number>(apex),
    names.map((at, i) => [at, i] as const),
  );
  expect(full.size).toBe(20_002);
  expect(full.buckets.length).toBeGreaterThan(100);
  expect(names.every((at, i) => findName(full, at) === i)).toBe(true);
  const one = editTree(full, [[`s7._domainkey.${apex}`, -7]]);
  expect(one.buckets.filter((bucket, i) => bucket !== full.buckets[i])).toHaveLength(1);
  const empty = editTree(
    full,
    names.map((at) => [at, null] as const),
  );
  expect([...namesOf(empty)]).toEqual([]);
  expect(empty.size).toBe(1);
});
