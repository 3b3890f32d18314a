/** Proofs against servers that are right, stale, lying, silent or broken, each for its verdict. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/control/config/load.ts';
import { type Proof, summarize } from '../../src/dns/lookup/proof.ts';
import { createProver, type Prover, type ProverOptions } from '../../src/dns/lookup/prove.ts';
import type { ResourceRecord } from '../../src/dns/wire/message.ts';
import { freePort } from '../support/ports.ts';
import {
  a,
  aaaa,
  type Behaviour,
  cname,
  type FakeServer,
  hasIPv6,
  ns,
  reply,
  soa,
  startFake,
  table,
  txt,
} from './lookup-world.ts';

const apex = 'example.test';
const name = `s1._domainkey.${apex}`;
const value = `v=DKIM1; k=rsa; p=${'A'.repeat(392)}`;
const key = { kind: 'key', value } as const;
const good = [soa(apex), txt(name, value)];

const open: FakeServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server[Symbol.asyncDispose]()));
});

async function fake(behaviour: Behaviour, address?: string, port?: number): Promise<FakeServer> {
  const server = await startFake(behaviour, address, port);
  open.push(server);
  return server;
}
const serves = (...records: ResourceRecord[]): Behaviour => table([soa(apex), ...records], { apex });
const rcode =
  (code: 'SERVFAIL' | 'REFUSED' | 'FORMERR'): Behaviour =>
  (query) =>
    reply(query, { rcode: code });

/** A prover that knows the zone's servers. */
async function proverFor(behaviours: readonly Behaviour[], options: ProverOptions = {}): Promise<Prover> {
  const servers = await Promise.all(behaviours.map((behaviour) => fake(behaviour)));
  return createProver({
    resolvers: [],
    zones: [{ apex, servers: servers.map(({ at }) => at) }],
    // Busy machines are slow: only where silence is the matter it is waited for less.
    queryTimeoutMs: 5000,
    ...options,
  });
}
const verdicts = (proof: Proof): string[] => proof.answers.map(({ verdict }) => verdict);

describe('verdicts', () => {
  const other = `v=DKIM1; k=rsa; p=${'B'.repeat(392)}`;
  const revoked = 'v=DKIM1; k=rsa; p=';
  const cases: [string, Behaviour, string, string, string][] = [
    // what the server does, and the verdicts for a key, a revoked key and no record.
    ['serves the key', serves(txt(name, value)), 'seen', 'mismatched', 'mismatched'],
    ['serves another key', serves(txt(name, other)), 'mismatched', 'mismatched', 'mismatched'],
    ['serves something else', serves(txt(name, 'v=spf1 -all')), 'mismatched', 'mismatched', 'mismatched'],
    ['serves an empty p=', serves(txt(name, revoked)), 'revoked', 'seen', 'revoked'],
    ['serves two records', serves(txt(name, value), txt(name, other)), 'several', 'several', 'several'],
    ['has no such name', serves(), 'missing', 'missing', 'seen'],
    ['has no TXT there', serves(a(name, '192.0.2.1')), 'missing', 'missing', 'seen'],
    ['refuses', rcode('REFUSED'), 'unreachable', 'unreachable', 'unreachable'],
    ['is in trouble', rcode('SERVFAIL'), 'unreachable', 'unreachable', 'unreachable'],
    ['answers without authority', table(good), 'unreachable', 'unreachable', 'unreachable'],
    ['sends junk', () => new Uint8Array([1, 2, 3]), 'unreachable', 'unreachable', 'unreachable'],
    [
      'answers another question',
      (query) => table(good, { apex })({ ...query, questions: [{ name: 'x.test', type: 'TXT', class: 'IN' }] }, 'udp'),
      'unreachable',
      'unreachable',
      'unreachable',
    ],
    ['says nothing', () => null, 'unreachable', 'unreachable', 'unreachable'],
  ];

  test.each(cases)(
    'a server that %s, beside one that is right',
    async (does, behaviour, forKey, forRevoked, forAbsent) => {
      const options = /nothing|junk|another question/.test(does) ? { queryTimeoutMs: 1000 } : {};
      const prover = await proverFor([behaviour], options);
      const beside = await proverFor([serves(txt(name, value)), behaviour], options);
      const [first, second, third, proof] = await Promise.all([
        prover.prove(name, key),
        prover.prove(name, { kind: 'revoked' }),
        prover.prove(name, { kind: 'absent' }),
        beside.prove(name, key),
      ]);
      expect([first.verdict, second.verdict, third.verdict]).toEqual([forKey, forRevoked, forAbsent]);
      expect(verdicts(proof)).toEqual(['seen', forKey]);
      expect(proof.verdict).toBe(forKey);
      expect(summarize(proof)).toMatchObject({
        serversAsked: 2,
        serversAgreeing: forKey === 'seen' ? 2 : 1,
        expected: 'key',
      });
    },
  );

  test('a server that cannot be reached says why', async () => {
    const refusing = await freePort();
    const prover = createProver({
      resolvers: [],
      zones: [{ apex, servers: [`127.0.0.1:${refusing}`] }],
      queryTimeoutMs: 5000,
    });
    const proof = await prover.prove(name, key);
    expect(proof.verdict).toBe('unreachable');
    expect(proof.answers[0]).toMatchObject({
      address: `127.0.0.1:${refusing}`,
      values: [],
      detail: expect.stringMatching(/ECONNREFUSED|no answer/),
    });
    const lame = await proverFor([rcode('REFUSED')]);
    expect((await lame.prove(name, key)).answers[0]?.detail).toMatch(
      /REFUSED: it does not serve this zone; check the delegation/,
    );
    const absent = await proverFor([serves(), serves(a(name, '192.0.2.1'))]);
    expect((await absent.prove(name, key)).answers.map(({ detail }) => detail)).toEqual([
      expect.stringContaining('NXDOMAIN'),
      expect.stringContaining('NODATA'),
    ]);
  });

  test('the same key with its tags in another order is seen, and said to be so', async () => {
    const prover = await proverFor([
      serves(txt(name, `v=DKIM1;p=${'A'.repeat(200)} ${'A'.repeat(192)}; k=rsa; n=note`)),
    ]);
    const proof = await prover.prove(name, key);
    expect(proof.verdict).toBe('seen');
    expect(proof.answers[0]?.detail).toMatch(/written in another way/);
  });

  test('a whole proof ends in its time, also where everything is silent', async () => {
    const prover = await proverFor([() => null, () => null], { timeoutMs: 300 });
    const proof = await prover.prove(name, key);
    expect([proof.verdict, ...verdicts(proof)]).toEqual(['unreachable', 'unreachable', 'unreachable']);
  });

  test('the caller can end it', async () => {
    const prover = await proverFor([() => null]);
    const controller = new AbortController();
    const proving = prover.prove(name, key, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(proving).rejects.toThrow('enough');
    await expect(prover.prove(name, key, { signal: AbortSignal.abort(new Error('never')) })).rejects.toThrow('never');
  });

  test('any bytes from a server are no crash', async () => {
    let bytes: Uint8Array = new Uint8Array();
    const prover = await proverFor(
      [(query) => Buffer.concat([new Uint8Array([query.id >> 8, query.id & 255]), bytes])],
      { queryTimeoutMs: 30 },
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (next) => {
        bytes = next;
        expect((await prover.prove(name, key)).verdict).not.toBe('seen');
      }),
      { numRuns: 30 },
    );
  });
});

describe('ways to ask', () => {
  test('over TCP where the answer is cut', async () => {
    const long = `v=DKIM1; k=rsa; p=${'A'.repeat(1600)}`;
    const prover = await proverFor([serves(txt(name, long))]);
    const proof = await prover.prove(name, { kind: 'key', value: long });
    expect(proof.answers[0]).toMatchObject({ verdict: 'seen', transport: 'tcp', ttl: 60 });
  });

  test('without EDNS where the server does not know it', async () => {
    const old: Behaviour = (query, transport) => {
      if (query.edns === undefined) return table(good, { apex })(query, transport);
      const { edns: _, ...plain } = reply(query, { rcode: 'FORMERR' });
      return plain;
    };
    const prover = await proverFor([old]);
    expect((await prover.prove(name, key)).verdict).toBe('seen');
  });

  test('the negative TTL is the smaller of SOA TTL and MINIMUM, the largest of what servers say', async () => {
    const prover = await proverFor([
      table([soa(apex, 900, 120), txt(name, value)], { apex }),
      table([soa(apex, 900, 300)], { apex }),
    ]);
    expect((await prover.prove(name, key)).negativeTtl).toBe(300);
    const single = await proverFor([table([soa(apex, 30, 3600), txt(name, value)], { apex })]);
    expect((await single.prove(name, key)).negativeTtl).toBe(30);
  });
});

/** A world with a resolver that knows the delegations, and name servers on one port of several loopback addresses. */
async function world(
  records: readonly ResourceRecord[],
  options: ProverOptions = {},
): Promise<{
  readonly resolver: FakeServer;
  readonly prover: Prover;
  readonly port: number;
  readonly serve: (address: string, behaviour: Behaviour) => Promise<FakeServer>;
}> {
  const port = await freePort();
  const resolver = await fake(table(records));
  const prover = createProver({ resolvers: [resolver.at], port, queryTimeoutMs: 5000, ...options });
  return { resolver, prover, port, serve: (address, behaviour) => fake(behaviour, address, port) };
}

describe('finding the servers', () => {
  const second = hasIPv6 ? '::1' : '127.0.0.6';
  const delegation = [
    soa('test'),
    soa(apex),
    ns(apex, `ns1.${apex}`),
    ns(apex, 'ns2.other.test'),
    a(`ns1.${apex}`, '127.0.0.2'),
    hasIPv6 ? aaaa(`ns1.${apex}`, second) : a(`ns1.${apex}`, second),
    a('ns2.other.test', '127.0.0.3'),
    a('ns2.other.test', '127.0.0.4'),
  ];

  test('asks every address of every name server, and the resolver never for a name at or below _domainkey', async () => {
    const { resolver, prover, port, serve } = await world(delegation);
    for (const address of ['127.0.0.2', '127.0.0.3', second]) await serve(address, serves(txt(name, value)));
    const stale = await serve('127.0.0.4', serves());
    const proof = await prover.prove(name, key);
    expect(proof.answers.map(({ server, address, verdict }) => [server, address, verdict])).toEqual([
      [`ns1.${apex}`, `127.0.0.2:${port}`, 'seen'],
      [`ns1.${apex}`, hasIPv6 ? `[::1]:${port}` : `${second}:${port}`, 'seen'],
      ['ns2.other.test', `127.0.0.3:${port}`, 'seen'],
      ['ns2.other.test', `127.0.0.4:${port}`, 'missing'],
    ]);
    expect(proof).toMatchObject({ verdict: 'missing', apex, name });
    stale.behave(serves(txt(name, value)));
    expect((await prover.prove(name, key)).verdict).toBe('seen');
    expect(resolver.queries.length).toBeGreaterThan(0);
    expect(resolver.queries.filter((query) => query.questions[0]?.name.includes('_domainkey'))).toEqual([]);
    expect(stale.queries.every(({ flags }) => !flags.rd)).toBe(true);
  });

  test('remembers what it found: a fleet on the same servers costs few questions', async () => {
    const { resolver, prover, serve } = await world(delegation);
    const many = Array.from({ length: 200 }, (_, i) => `k${i}._domainkey.${apex}`);
    const servers: FakeServer[] = [];
    for (const address of ['127.0.0.2', '127.0.0.3', '127.0.0.4', second]) {
      servers.push(await serve(address, serves(...many.map((each) => txt(each, value)))));
    }
    await prover.prove(many[0] ?? '', key);
    const before = resolver.queries.length;
    const proofs = await Promise.all(many.map((each) => prover.prove(each, key)));
    expect(proofs.every(({ verdict }) => verdict === 'seen')).toBe(true);
    expect(resolver.queries.length).toBe(before);
    const soas = servers.flatMap(({ queries }) => queries.filter(({ questions }) => questions[0]?.type === 'SOA'));
    expect(soas).toHaveLength(1);
  });

  test('a name server without an address counts, for others may know one', async () => {
    const { prover, serve } = await world([...delegation.filter(({ name: owner }) => owner !== 'ns2.other.test')]);
    await serve('127.0.0.2', serves(txt(name, value)));
    await serve(second, serves(txt(name, value)));
    const proof = await prover.prove(name, key);
    expect(verdicts(proof)).toEqual(['seen', 'seen', 'unreachable']);
    expect(proof.answers[2]).toMatchObject({ server: 'ns2.other.test', detail: expect.stringContaining('no address') });
  });

  test('climbs over names without a zone, follows zone cuts below, and finds the apex of both', async () => {
    const { prover, port, serve } = await world([
      soa('test'),
      soa(apex),
      ns(apex, `ns1.${apex}`),
      a(`ns1.${apex}`, '127.0.0.2'),
      cname(`www.${apex}`, apex),
    ]);
    const cut = `_domainkey.${apex}`;
    const parentZone: Behaviour = (query, transport) => {
      if (!query.questions[0]?.name.endsWith(cut)) return serves()(query, transport);
      return reply(query, { authorities: [ns(cut, `ns.${cut}`)], additionals: [a(`ns.${cut}`, '127.0.0.3')] });
    };
    await serve('127.0.0.2', parentZone);
    await serve('127.0.0.3', table([soa(cut, 7), txt(name, value)], { apex: cut }));
    const proof = await prover.prove(name, key);
    expect(proof).toMatchObject({ verdict: 'seen', apex: cut, negativeTtl: 7 });
    expect(proof.answers.map(({ address }) => address)).toEqual([`127.0.0.3:${port}`]);
    expect(await prover.findApex(name)).toEqual({ kind: 'found', apex: cut });
    expect(await prover.findApex(`mail.sub.${apex}`)).toEqual({ kind: 'found', apex });
    // An apex is never a CNAME, though the SOA at its target comes along.
    expect(await prover.findApex(`www.${apex}`)).toEqual({ kind: 'found', apex });
  });

  test('a server that only the parent zone names counts too, for resolvers begin there', async () => {
    const { prover, serve } = await world([
      soa('test'),
      ns('test', 'ns.nic.test'),
      a('ns.nic.test', '127.0.0.5'),
      soa(apex),
      ns(apex, `ns1.${apex}`),
      a(`ns1.${apex}`, '127.0.0.2'),
      a('old.test', '127.0.0.3'),
    ]);
    const registry = await serve('127.0.0.5', (query) =>
      reply(query, { authorities: [ns(apex, `ns1.${apex}`), ns(apex, 'old.test')] }),
    );
    await serve('127.0.0.2', serves(txt(name, value)));
    const old = await serve('127.0.0.3', serves());
    const proof = await prover.prove(name, key);
    expect(proof.answers.map(({ server, verdict }) => [server, verdict])).toEqual([
      [`ns1.${apex}`, 'seen'],
      ['old.test', 'missing'],
    ]);
    old.behave(serves(txt(name, value)));
    expect((await prover.prove(name, key)).verdict).toBe('seen');
    expect(registry.queries).toHaveLength(1);
  });

  test('a parent zone that cannot be asked is done without, and not asked for every domain', async () => {
    const domains = ['one.test', 'two.test', 'three.test'];
    const { prover, serve } = await world([
      soa('test'),
      ns('test', 'ns.nic.test'),
      a('ns.nic.test', '127.0.0.5'),
      ...domains.flatMap((domain) => [soa(domain), ns(domain, 'ns.host.test')]),
      a('ns.host.test', '127.0.0.2'),
    ]);
    const registry = await serve('127.0.0.5', () => null);
    await serve('127.0.0.2', (query, transport) => {
      const domain = domains.find((each) => query.questions[0]?.name.endsWith(each)) ?? '';
      return table([soa(domain), txt(`s1._domainkey.${domain}`, value)], { apex: domain })(query, transport);
    });
    for (const domain of domains) {
      expect((await prover.prove(`s1._domainkey.${domain}`, key)).verdict).toBe('seen');
    }
    const asked = new Set(registry.queries.map(({ questions }) => questions[0]?.name));
    expect([...asked]).toEqual(['one.test']);
  });

  test('a referral is believed about addresses in its own zone alone', async () => {
    const { prover, port, serve } = await world([
      soa('test'),
      soa(apex),
      ns(apex, `ns1.${apex}`),
      a(`ns1.${apex}`, '127.0.0.2'),
      a('ns.other.net', '127.0.0.3'),
    ]);
    const cut = `_domainkey.${apex}`;
    await serve('127.0.0.2', (query, transport) => {
      if (!query.questions[0]?.name.endsWith(cut)) return serves()(query, transport);
      return reply(query, { authorities: [ns(cut, 'ns.other.net')], additionals: [a('ns.other.net', '127.0.0.9')] });
    });
    await serve('127.0.0.3', table([soa(cut), txt(name, value)], { apex: cut }));
    const proof = await prover.prove(name, key);
    expect(proof.answers.map(({ address, verdict }) => [address, verdict])).toEqual([[`127.0.0.3:${port}`, 'seen']]);
  });

  test('where there is nobody to ask it says so', async () => {
    const silent = await fake(() => null);
    const prover = createProver({ resolvers: [silent.at], queryTimeoutMs: 100 });
    const proof = await prover.prove(name, key);
    expect(proof).toMatchObject({
      verdict: 'unreachable',
      answers: [],
      apex: null,
      detail: expect.stringContaining(`Looking for the zone of ${apex}`),
    });
    expect(await prover.findApex(name)).toMatchObject({ kind: 'failed' });
    const none = createProver({ resolvers: [] });
    expect((await none.prove(name, key)).detail).toMatch(/name a resolver, or the zone's servers/);
  });

  test('the longest explicit zone wins, and may name its servers by host name', async () => {
    const right = await fake(serves(txt(name, value)));
    const wrong = await fake(serves());
    const resolver = await fake(table([a('hidden.example', '127.0.0.1')]));
    const prover = createProver({
      resolvers: [resolver.at],
      zones: [
        { apex: 'test', servers: [wrong.at] },
        { apex: `_DomainKey.${apex}`, servers: [`hidden.example:${right.port}`] },
      ],
      queryTimeoutMs: 5000,
    });
    expect(await prover.prove(name, key)).toMatchObject({ verdict: 'seen', answers: [{ server: 'hidden.example' }] });
    expect(wrong.queries).toEqual([]);
  });
});

describe('CNAMEs', () => {
  const target = 'k1.keys.test';

  async function chained(own: readonly ResourceRecord[], keys: readonly Behaviour[]): Promise<Prover> {
    const first = await fake(table([soa(apex, 20), ...own], { apex }));
    const servers = await Promise.all(keys.map((behaviour) => fake(behaviour)));
    return createProver({
      resolvers: [],
      zones: [
        { apex, servers: [first.at] },
        { apex: 'keys.test', servers: servers.map(({ at }) => at) },
      ],
      queryTimeoutMs: 5000,
    });
  }
  const keyZone = (...records: ResourceRecord[]): Behaviour =>
    table([soa('keys.test', 50), ...records], { apex: 'keys.test' });

  test('lead to every server of the zone where the record lives', async () => {
    const prover = await chained([cname(name, target)], [keyZone(txt(target, value)), keyZone(txt(target, value, 30))]);
    const proof = await prover.prove(name, key);
    expect(proof).toMatchObject({ verdict: 'seen', apex: 'keys.test', negativeTtl: 50 });
    expect(proof.answers.map(({ cnames, values }) => [cnames, values.length])).toEqual([
      [[target], 1],
      [[target], 1],
      [[target], 1],
    ]);
    expect(summarize(proof)).toMatchObject({ serversAsked: 3, serversAgreeing: 3, ttl: 60 });
  });

  test('one stale server there spoils the proof, and nothing there is missing, or absent as expected', async () => {
    const stale = await chained([cname(name, target)], [keyZone(txt(target, value)), keyZone()]);
    expect(await stale.prove(name, key)).toMatchObject({ verdict: 'missing' });
    const dangling = await chained([cname(name, target)], [keyZone()]);
    expect(await dangling.prove(name, key)).toMatchObject({ verdict: 'missing' });
    expect(await dangling.prove(name, { kind: 'absent' })).toMatchObject({ verdict: 'seen' });
    const nowhere = await chained([cname(name, 'k1.nowhere.example')], [keyZone()]);
    expect(await nowhere.prove(name, key)).toMatchObject({
      verdict: 'unreachable',
      answers: [{ detail: expect.stringContaining('nowhere.example') }],
    });
  });

  test('within one zone they are followed in one answer', async () => {
    const inside = `k1.${apex}`;
    const prover = await chained([cname(name, inside), txt(inside, value)], [keyZone()]);
    expect(await prover.prove(name, key)).toMatchObject({ verdict: 'seen', apex, answers: [{ cnames: [inside] }] });
  });

  test('in a circle they end, in one zone or through several', async () => {
    const self = await chained([cname(name, name)], [keyZone()]);
    expect(await self.prove(name, key)).toMatchObject({
      verdict: 'mismatched',
      answers: [{ detail: expect.stringContaining('circle') }],
    });
    const round = await chained([cname(name, target)], [keyZone(cname(target, name))]);
    expect(await round.prove(name, key)).toMatchObject({ verdict: 'mismatched' });
    expect(await round.prove(name, { kind: 'absent' })).toMatchObject({ verdict: 'mismatched' });
  });
});

describe('resolvers', () => {
  const bogus: Behaviour = (query, transport) =>
    query.flags.cd ? table([txt(name, value)])(query, transport) : reply(query, { rcode: 'SERVFAIL' });

  test('are asked once the authoritative servers agree, and not before', async () => {
    const resolver = await fake(table([txt(name, value)]));
    const zone = await fake(serves());
    const prover = createProver({
      mode: 'both',
      resolvers: [resolver.at],
      zones: [{ apex, servers: [zone.at] }],
      queryTimeoutMs: 5000,
    });
    expect((await prover.prove(name, key)).verdict).toBe('missing');
    expect(resolver.queries).toEqual([]);
    zone.behave(serves(txt(name, value)));
    const proof = await prover.prove(name, key);
    expect(proof.answers.map(({ role, verdict }) => [role, verdict])).toEqual([
      ['authoritative', 'seen'],
      ['resolver', 'seen'],
    ]);
    expect(proof.verdict).toBe('seen');
    expect(resolver.queries.every(({ flags }) => flags.rd)).toBe(true);
  });

  test.each([
    ['remembers that there was nothing', table([]), 'missing'],
    ['does not believe the signatures', bogus, 'bogus'],
    ['still has the old record', table([txt(name, 'v=DKIM1; p=')]), 'revoked'],
    ['cannot be reached', () => null, 'seen'],
    ['is in trouble', rcode('SERVFAIL'), 'seen'],
  ] as const)('one that %s', async (_, behaviour, verdict) => {
    const [right, other, zone] = [
      await fake(table([txt(name, value)])),
      await fake(behaviour),
      await fake(serves(txt(name, value))),
    ];
    const both = createProver({
      mode: 'both',
      resolvers: [right.at, other.at],
      zones: [{ apex, servers: [zone.at] }],
      queryTimeoutMs: 1000,
    });
    expect((await both.prove(name, key)).verdict).toBe(verdict);
    const recursive = createProver({ mode: 'recursive', resolvers: [right.at, other.at], queryTimeoutMs: 1000 });
    const proof = await recursive.prove(name, key);
    expect(proof.verdict).toBe(verdict);
    expect(proof.answers.map(({ role }) => role)).toEqual(['resolver', 'resolver']);
  });

  test('alone, with none that answers, they prove nothing', async () => {
    const silent = await fake(() => null);
    const prover = createProver({ mode: 'recursive', resolvers: [silent.at], queryTimeoutMs: 100 });
    expect((await prover.prove(name, key)).verdict).toBe('unreachable');
    expect((await prover.prove(name, { kind: 'absent' })).verdict).toBe('unreachable');
  });

  test('a zone whose delegation a validating resolver does not believe is bogus', async () => {
    const resolver = await fake((query) =>
      query.flags.cd ? reply(query, { answers: [soa(apex)] }) : reply(query, { rcode: 'SERVFAIL' }),
    );
    const prover = createProver({ resolvers: [resolver.at], queryTimeoutMs: 5000 });
    expect(await prover.prove(name, key)).toMatchObject({
      verdict: 'bogus',
      detail: expect.stringContaining('DNSSEC'),
    });
  });
});

test('the configuration of docs/proof.md is one, and its servers can be asked', () => {
  const page = readFileSync(new URL('../../docs/proof.md', import.meta.url), 'utf8');
  const block = page.split('```keyturn.yaml\n')[1]?.split('\n```')[0] ?? '';
  const { mode, resolvers, zones } = parseConfig(block, 'keyturn.yaml').proof;
  expect([mode, resolvers.length, zones.length]).toEqual(['authoritative', 1, 1]);
  expect(() => createProver({ mode, resolvers, zones })).not.toThrow();
});
