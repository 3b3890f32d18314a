/** The caching resolver: what it remembers and for how long, by a clock of the test's own. */
import { afterEach, describe, expect, test } from 'vitest';
import { type CachingResolver, createCachingResolver } from '../../src/dns/lookup/cache.ts';
import type { ResourceRecord } from '../../src/dns/wire/message.ts';
import { a, type Behaviour, cname, type FakeServer, reply, soa, startFake, table, txt } from './lookup-world.ts';

const apex = 'example.test';
const name = `s1._domainkey.${apex}`;

let server: FakeServer | undefined;
afterEach(() => server?.[Symbol.asyncDispose]());

let seconds = 0;
async function resolverFor(
  behaviour: Behaviour,
  more: readonly string[] = [],
): Promise<{ resolver: CachingResolver; fake: FakeServer }> {
  seconds = 1_000_000;
  const fake = await startFake(behaviour);
  server = fake;
  const resolver = createCachingResolver({
    upstream: [{ apex, servers: [...more, fake.at] }],
    clock: { now: () => seconds * 1000 },
    timeoutMs: 5000,
  });
  return { resolver, fake };
}
const serves = (...records: ResourceRecord[]): Behaviour => table([soa(apex, 20, 60), ...records], { apex });
const texts = async (resolver: CachingResolver, at = name): Promise<string> =>
  resolver.resolveTxt(at).then(
    (records) => records.map((strings) => strings.join('')).join('|'),
    (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : String(error)),
  );

describe('the caching resolver', () => {
  test('keeps a record for its TTL, and not a second longer', async () => {
    const { resolver, fake } = await resolverFor(serves(txt(name, 'old', 30)));
    expect(await texts(resolver)).toBe('old');
    fake.behave(serves(txt(name, 'new', 30)));
    seconds += 29;
    expect(await texts(resolver)).toBe('old');
    seconds += 1;
    expect(await texts(resolver)).toBe('new');
    expect(resolver.statistics()).toEqual({ hits: 1, negativeHits: 0, misses: 2 });
  });

  test('keeps NXDOMAIN for the negative TTL, for every type of the name', async () => {
    const { resolver, fake } = await resolverFor(serves());
    expect(await texts(resolver)).toBe('ENOTFOUND');
    fake.behave(serves(txt(name, 'new'), a(name, '192.0.2.1')));
    seconds += 19;
    expect(await texts(resolver)).toBe('ENOTFOUND');
    expect(await resolver.resolve(name, 'A')).toEqual({ kind: 'none', exists: false, fromCache: true });
    seconds += 1;
    expect(await texts(resolver)).toBe('new');
  });

  test('keeps NODATA for the type alone', async () => {
    const { resolver, fake } = await resolverFor(serves(a(name, '192.0.2.1')));
    expect(await texts(resolver)).toBe('ENODATA');
    fake.behave(serves(txt(name, 'new'), a(name, '192.0.2.1')));
    expect(await texts(resolver)).toBe('ENODATA');
    expect(await resolver.resolve(name, 'A')).toMatchObject({ kind: 'found', fromCache: false });
    seconds += 20;
    expect(await texts(resolver)).toBe('new');
  });

  test('takes the smaller of SOA TTL and MINIMUM, and keeps nothing without an SOA or for a TTL of 0', async () => {
    const { resolver, fake } = await resolverFor(table([soa(apex, 900, 5)], { apex }));
    expect(await texts(resolver)).toBe('ENOTFOUND');
    fake.behave(serves(txt(name, 'new', 0)));
    seconds += 4;
    expect(await texts(resolver)).toBe('ENOTFOUND');
    seconds += 1;
    expect(await texts(resolver)).toBe('new');
    fake.behave((query) => reply(query, { rcode: 'NXDOMAIN', flags: { aa: true } }));
    expect(await texts(resolver)).toBe('ENOTFOUND');
    fake.behave(serves(txt(name, 'newer')));
    expect(await texts(resolver)).toBe('newer');
  });

  test('keeps each link of a CNAME chain for its own TTL', async () => {
    const target = `k1.${apex}`;
    const { resolver, fake } = await resolverFor(serves(cname(name, target), txt(target, 'one', 10)));
    expect(await texts(resolver)).toBe('one');
    fake.behave(serves(cname(name, `k2.${apex}`), txt(target, 'two', 10), txt(`k2.${apex}`, 'other')));
    expect(await texts(resolver)).toBe('one');
    seconds += 10;
    expect(await texts(resolver)).toBe('two');
    seconds += 50;
    expect(await texts(resolver)).toBe('other');
  });

  test('ends circles, and fails without remembering it', async () => {
    const { resolver, fake } = await resolverFor(serves(cname(name, name)));
    expect(await texts(resolver)).toBe('ESERVFAIL');
    fake.behave((query) => reply(query, { rcode: 'SERVFAIL' }));
    expect(await texts(resolver, `s2.${apex}`)).toBe('ESERVFAIL');
    fake.behave(serves(txt(`s2.${apex}`, 'back')));
    expect(await texts(resolver, `s2.${apex}`)).toBe('back');
    expect(await texts(resolver, 'outside.example')).toBe('ESERVFAIL');
  });

  test('asks once for equal questions at the same time, and the next server where one is down', async () => {
    await using refusing = await startFake((query) => reply(query, { rcode: 'REFUSED' }));
    const { resolver, fake } = await resolverFor(serves(txt(name, 'x')), [refusing.at]);
    expect(await Promise.all(Array.from({ length: 20 }, () => texts(resolver)))).toEqual(Array<string>(20).fill('x'));
    expect(fake.queries).toHaveLength(1);
    expect(refusing.queries).toHaveLength(1);
  });

  test('a clock that goes back empties it rather than keeping things for ever', async () => {
    const { resolver, fake } = await resolverFor(serves(txt(name, 'old', 30)));
    expect(await texts(resolver)).toBe('old');
    fake.behave(serves(txt(name, 'new', 30)));
    seconds -= 100_000;
    expect(await texts(resolver)).toBe('new');
  });
});
