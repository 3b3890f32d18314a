import { describe, expect, test } from 'vitest';
import type { Publisher, RecordChange } from './publisher.ts';
import { aliasLines, behindAliases, targetName } from './target.ts';

const target = 'dkim.hoster.example';

describe('targetName', () => {
  test.each([
    ['s1._domainkey.example.com', 's1.example.com.dkim.hoster.example'],
    ['a.b._domainkey.example.com', 'a.b.example.com.dkim.hoster.example'],
    ['example.com', null],
    ['_domainkey.example.com', null],
  ])('%s', (name, expected) => expect(targetName(name, target)).toBe(expected));

  test('allows 253 octets and not one more', () => {
    const domain = (length: number): string =>
      'abcdefghi.'
        .repeat(30)
        .slice(0, length - 1)
        .concat('x');
    const room = 253 - `s1..${target}`.length;
    expect(targetName(`s1._domainkey.${domain(room)}`, target)).toHaveLength(253);
    expect(targetName(`s1._domainkey.${domain(room + 1)}`, target)).toBeNull();
  });
});

test('the CNAME and the DNAME of a selector lead to the same name, which is the one that is written', () => {
  const { dname, cnames } = aliasLines('example.com', target, ['s1']);
  const [owner = '', , , substitute = ''] = dname.split(' ');
  const asked = 's1._domainkey.example.com.';
  // RFC 6672 section 2.2: the owner's name is replaced at the end of the name that was asked for.
  const synthesized = asked.slice(0, -owner.length) + substitute;
  expect(cnames[0]?.line).toBe(`${asked} IN CNAME ${synthesized}`);
  expect(synthesized).toBe(`${targetName(asked.slice(0, -1), target)}.`);
});

test('a publisher behind aliases writes at the target, and refuses what has no room there', async () => {
  const changes: RecordChange[] = [];
  const inner: Publisher = {
    name: 'inner',
    capabilities: { automatic: true, atomicCompareAndSet: true, minimumTtl: 1, maximumValueBytes: 1000 },
    apply: async (change) => {
      changes.push(change);
      return { kind: 'done' };
    },
  };
  const publisher = behindAliases(inner, target);
  const change = { desired: { value: 'v=DKIM1; p=AA', ttl: 60 }, ours: ['v=DKIM1; p='] };
  expect(await publisher.apply({ ...change, name: 's1._domainkey.example.com' })).toEqual({ kind: 'done' });
  expect(changes).toEqual([{ ...change, name: 's1.example.com.dkim.hoster.example' }]);
  const refused = await publisher.apply({ ...change, name: `s1._domainkey.${'abcdefghi.'.repeat(24)}com` });
  expect(refused).toMatchObject({ kind: 'refused', message: expect.stringContaining('253 octets') });
  expect(changes).toHaveLength(1);
});
