/** Proofs against real servers: BIND with authority, stale, frozen and killed, and BIND as a validating resolver. */
import { afterEach, describe, expect, test } from 'vitest';
import { inspect } from '../../src/dns/lookup/inspect.ts';
import { createProver } from '../../src/dns/lookup/prove.ts';
import { createAuthoritativeServer } from '../../src/dns/serve/server.ts';
import { createZoneStore } from '../../src/dns/serve/zone-store.ts';
import { startBind } from '../support/bind.ts';
import { startDnsProgram, writeOwned } from '../support/dns-process.ts';
import type { DnsServer } from '../support/dns-server.ts';
import { startKnot } from '../support/knot.ts';
import { need } from '../support/need.ts';

const apex = 'example.test';
const name = `s1._domainkey.${apex}`;
const value = `v=DKIM1; k=rsa; p=${'A'.repeat(392)}`;
const key = { kind: 'key', value } as const;
const record = `s1._domainkey 60 IN TXT "${value.slice(0, 255)}" "${value.slice(255)}"`;

const running: AsyncDisposable[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((each) => each[Symbol.asyncDispose]()));
});
async function started<S extends AsyncDisposable>(starting: Promise<S>): Promise<S> {
  const server = await starting;
  running.push(server);
  return server;
}
const at = ({ address, port }: Pick<DnsServer, 'address' | 'port'>): string => `${address}:${port}`;

describe.skipIf(!need('named', 'bind9'))('BIND', () => {
  test('fresh, stale, frozen, thawed, killed', async () => {
    const fresh = await started(startBind({ zones: [{ apex, records: [record], negativeTtl: 45 }] }));
    const other = await started(startBind({ zones: [{ apex, records: [record], negativeTtl: 30 }] }));
    const stale = await started(startBind({ zones: [{ apex, negativeTtl: 45 }] }));
    const proverFor = (...servers: DnsServer[]): ReturnType<typeof createProver> =>
      createProver({ resolvers: [], zones: [{ apex, servers: servers.map(at) }], queryTimeoutMs: 1500 });

    const both = proverFor(fresh, other);
    expect(await both.prove(name, key)).toMatchObject({ verdict: 'seen', apex, answers: [{ ttl: 60 }, { ttl: 60 }] });
    expect(await both.prove(`s2._domainkey.${apex}`, { kind: 'absent' })).toMatchObject({
      verdict: 'seen',
      negativeTtl: 45,
    });
    expect(await proverFor(fresh, stale).prove(name, key)).toMatchObject({
      verdict: 'missing',
      answers: [{ verdict: 'seen' }, { verdict: 'missing' }],
    });
    expect(await both.findApex(name)).toEqual({ kind: 'found', apex });

    await other.freeze();
    expect(await both.prove(name, key)).toMatchObject({
      verdict: 'unreachable',
      answers: [{ verdict: 'seen' }, { verdict: 'unreachable' }],
    });
    other.thaw();
    expect((await both.prove(name, key)).verdict).toBe('seen');
    await other.kill();
    expect((await both.prove(name, key)).verdict).toBe('unreachable');
  });

  test('with other values, several, CNAMEs, and a zone that it does not serve', async () => {
    const server = await started(
      startBind({
        zones: [
          {
            apex,
            records: [
              record,
              `revoked._domainkey IN TXT "v=DKIM1; k=rsa; p="`,
              `several._domainkey IN TXT "v=DKIM1; p=AA"`,
              `several._domainkey IN TXT "v=DKIM1; p=BB"`,
              `alias._domainkey IN CNAME s1.keys.test.`,
              `loop._domainkey IN CNAME loop._domainkey.keys.test.`,
              `wild._domainkey IN CNAME s9.keys.test.`,
            ],
          },
          {
            apex: 'keys.test',
            records: [record.replace('s1._domainkey', 's1'), `loop._domainkey IN CNAME loop._domainkey.${apex}.`],
          },
        ],
      }),
    );
    const prover = createProver({
      resolvers: [],
      zones: [apex, 'keys.test', 'other.test'].map((each) => ({ apex: each, servers: [at(server)] })),
      queryTimeoutMs: 5000,
    });
    const verdict = async (selector: string, domain = apex): Promise<string> =>
      (await prover.prove(`${selector}._domainkey.${domain}`, key)).verdict;
    expect(await verdict('s1')).toBe('seen');
    expect(await verdict('revoked')).toBe('revoked');
    expect(await verdict('several')).toBe('several');
    expect(await verdict('alias')).toBe('seen');
    expect(await verdict('loop')).toBe('mismatched');
    expect(await verdict('wild')).toBe('missing');
    expect(await verdict('s1', 'other.test')).toBe('unreachable');

    const report = await inspect(prover, apex, ['s1', 'revoked', 'several', 'alias', 'none']);
    expect(report).toMatchObject({ apex, servers: [{ server: at(server), address: at(server) }], problems: [] });
    expect(report.selectors.map(({ status }) => status)).toEqual([
      'invalid',
      'revoked',
      'invalid',
      'invalid',
      'missing',
    ]);
    expect(report.selectors[2]?.problems.join()).toContain('2 TXT records');
  });
});

describe.skipIf(!need('knotd', 'knot'))('Knot beside our own server', () => {
  test('agree on a long record, one over TCP', async () => {
    const long = `v=DKIM1; k=rsa; p=${'C'.repeat(1500)}`;
    const strings = long.match(/.{1,250}/g)?.map((part) => `"${part}"`) ?? [];
    const knot = await started(
      startKnot({ zones: [{ apex, records: [`s1._domainkey 60 IN TXT ${strings.join(' ')}`] }] }),
    );
    const zones = createZoneStore([
      { apex, nameServers: [`ns1.${apex}`], records: [[name, { value: long, ttl: 60 }]] },
    ]);
    const ours = await started(createAuthoritativeServer({ zones, listen: [{ address: '127.0.0.1', port: 0 }] }));
    const servers = [at(knot), ...ours.endpoints.map(({ address, port }) => `${address}:${port}`)];
    const prover = createProver({ resolvers: [], zones: [{ apex, servers }], queryTimeoutMs: 5000 });
    const proof = await prover.prove(name, { kind: 'key', value: long });
    expect(proof).toMatchObject({ verdict: 'seen', answers: [{ transport: 'tcp' }, { transport: 'tcp' }] });
  });
});

describe.skipIf(!need('named', 'bind9'))('BIND as recursive resolver', () => {
  /** Forwards to our server, and for `signed` domains believes only what a key signed that nobody has. */
  const startResolver = (upstream: number, domains: readonly string[], signed: readonly string[]): Promise<DnsServer> =>
    startDnsProgram({
      name: 'resolver',
      command: 'named',
      port: undefined,
      zones: [],
      configure: (dir, port) => {
        const anchors = signed.map((domain) => `"${domain}" static-ds 12345 8 2 "${'ab'.repeat(32)}";`);
        writeOwned(
          dir.join('named.conf'),
          [
            `options { directory "${dir.path}"; pid-file "${dir.join('named.pid')}"; session-keyfile "${dir.join('session.key')}";`,
            `managed-keys-directory "${dir.path}"; listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; };`,
            'recursion yes; allow-query { any; }; dnssec-validation yes; empty-zones-enable no; };',
            'controls { };',
            ...(anchors.length === 0 ? [] : [`trust-anchors { ${anchors.join(' ')} };`]),
            ...domains.map(
              (domain) =>
                `zone "${domain}" { type forward; forward only; forwarders { 127.0.0.1 port ${upstream}; }; };`,
            ),
          ].join('\n'),
        );
        return { args: ['-g', '-n', '1', '-c', dir.join('named.conf')] };
      },
    });

  test('agrees, remembers absence, and says bogus where signatures are missing', async () => {
    const bad = 'bad.test';
    const zones = createZoneStore(
      [apex, bad].map((each) => ({
        apex: each,
        nameServers: [`ns1.${each}`],
        negativeTtl: 600,
        records: [[`s1._domainkey.${each}`, { value, ttl: 60 }] as const],
      })),
    );
    const ours = await started(createAuthoritativeServer({ zones, listen: [{ address: '127.0.0.1', port: 0 }] }));
    const port = ours.endpoints[0]?.port ?? 0;
    const resolver = await started(startResolver(port, [apex, bad], [bad]));
    const prover = createProver({
      mode: 'both',
      resolvers: [at(resolver)],
      zones: [apex, bad].map((each) => ({ apex: each, servers: [`127.0.0.1:${port}`] })),
    });
    expect(await prover.prove(name, key)).toMatchObject({
      verdict: 'seen',
      answers: [{ role: 'authoritative' }, { role: 'resolver', verdict: 'seen' }],
    });
    const bogus = await prover.prove(`s1._domainkey.${bad}`, key);
    expect(bogus).toMatchObject({
      verdict: 'bogus',
      answers: [{ verdict: 'seen' }, { verdict: 'bogus', detail: expect.stringContaining('DNSSEC') }],
    });

    const late = `s2._domainkey.${apex}`;
    const recursive = createProver({ mode: 'recursive', resolvers: [at(resolver)] });
    expect(await recursive.prove(late, key)).toMatchObject({ verdict: 'missing', negativeTtl: 600 });
    zones.set(late, { value, ttl: 60 });
    // The authoritative server has it, and the resolver was asked too early.
    expect(await prover.prove(late, key)).toMatchObject({
      verdict: 'missing',
      answers: [{ verdict: 'seen' }, { verdict: 'missing' }],
    });
  });
});
