import { describe, expect, test } from 'vitest';
import { bindToAll } from '../../src/control/bindings.ts';
import { configSchema } from '../../src/control/config/schema.ts';
import { startDnsRole } from '../../src/control/dns-role.ts';
import { importKey } from '../../src/control/import-key.ts';
import { silentLog } from '../../src/control/log.ts';
import { startMilterRole } from '../../src/control/milter-role.ts';
import { choosePublishers } from '../../src/control/publishers.ts';
import { rehearsalMessage } from '../../src/control/rehearsal/message.ts';
import { exportPrivateKeyPem, generateKeyPair } from '../../src/dkim/key-pair.ts';
import { createCachingResolver } from '../../src/dns/lookup/cache.ts';
import { createResolver } from '../../src/dns/lookup/resolver.ts';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { connectMilter } from '../../src/signers/milter/client.ts';
import { openMemoryStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { keyturn } from '../support/keyturn.ts';
import { freePort } from '../support/ports.ts';
import { tempDir } from '../support/temp.ts';
import { writeFastConfig } from './fast-config.ts';

describe('the DNS role', () => {
  test('serves what the store holds, whoever changed it, under a serial that grows', async () => {
    await using store = await openMemoryStore();
    const { dns } = configSchema.parse({
      dns: {
        listen: [`127.0.0.1:${await freePort()}`],
        zones: [
          {
            apex: 'keys.test',
            nameservers: ['ns1.keys.test'],
            addresses: { 'ns1.keys.test': ['192.0.2.1', '2001:db8::1'] },
          },
        ],
      },
    });
    const role = await startDnsRole(dns, { store, clock: systemClock, log: silentLog, keys: [] });
    try {
      const resolver = createResolver({ servers: role.endpoints, timeoutMs: 2000 });
      const values = async (name: string) => {
        const fresh = createCachingResolver({ upstream: [{ apex: 'keys.test', servers: role.endpoints }] });
        return fresh.resolveTxt(name).then(
          (records) => records.map((strings) => strings.join('')),
          (error: { code: string }) => error.code,
        );
      };
      const serial = async () => {
        const answer = await resolver.resolve('keys.test', 'SOA');
        const data = answer.kind === 'found' ? answer.records[0]?.data : undefined;
        return data?.kind === 'SOA' ? data.serial : 0;
      };
      const set = (name: string, value: string | null) =>
        store.zones.set({
          apex: 'keys.test',
          name,
          desired: value === null ? null : { value, ttl: 60 },
          ours: ['a', 'b', 'c'],
        });
      const first = await serial();
      expect(first).toBeGreaterThan(0);
      await set('s1._domainkey.keys.test', 'a');
      expect(await values('s1._domainkey.keys.test')).toBe('ENOTFOUND');
      await role.refresh();
      expect(await values('s1._domainkey.keys.test')).toEqual(['a']);
      await set('s1._domainkey.keys.test', 'b');
      await set('s2._domainkey.keys.test', 'c');
      await role.refresh();
      expect(await values('s1._domainkey.keys.test')).toEqual(['b']);
      expect(await values('s2._domainkey.keys.test')).toEqual(['c']);
      await set('s1._domainkey.keys.test', null);
      await role.refresh();
      expect(await values('s1._domainkey.keys.test')).toBe('ENOTFOUND');
      expect(await serial()).toBe(first + 4);
      const served = await serial();
      const add = async (n: number) => {
        const change = { apex: 'keys.test', name: `k${n}._domainkey.keys.test`, desired: { value: 'c', ttl: 60 } };
        const result = await store.zones.set({ ...change, ours: [] });
        if (result.kind === 'done') await role.changed({ ...change, serial: result.serial });
      };
      // Told of by the writer itself, in whatever order; a refresh in between takes nothing back.
      await Promise.all([add(1), role.refresh(), add(2), role.refresh(), add(3)]);
      expect(await Promise.all([1, 2, 3].map((n) => values(`k${n}._domainkey.keys.test`)))).toEqual([
        ['c'],
        ['c'],
        ['c'],
      ]);
      expect(await serial()).toBe(served + 3);
      const glue = await resolver.resolve('ns1.keys.test', 'AAAA');
      expect(glue.kind === 'found' ? glue.records[0]?.data : null).toMatchObject({ address: '2001:db8::1' });
    } finally {
      await role.stop();
    }
  });

  test('whose address is taken says which', async () => {
    await using store = await openMemoryStore();
    const { dns } = configSchema.parse({
      dns: {
        listen: [`127.0.0.1:${await freePort()}`],
        zones: [{ apex: 'keys.test', nameservers: ['ns1.keys.test'] }],
      },
    });
    const start = () => startDnsRole(dns, { store, clock: systemClock, log: silentLog, keys: [] });
    const role = await start();
    try {
      await expect(start()).rejects.toThrow(dns.listen[0]);
    } finally {
      await role.stop();
    }
  });
});

describe('the milter role', () => {
  /** Two domains with an active key each; the lifecycle's way there is told elsewhere. */
  async function storeOfTwo(): Promise<Store> {
    const store = await openMemoryStore();
    const operator = { store, clock: systemClock, actor: { name: 'test', source: 'cli' } } as const;
    for (const domain of ['good.test', 'bad.test']) {
      const { privateKey } = await generateKeyPair({ algorithm: 'ed25519' });
      const input = exportPrivateKeyPem(privateKey);
      await importKey(operator, {
        domain,
        selector: 's1',
        stream: 'default',
        input,
        policy: 'default',
        bindings: [bindToAll('milter')],
      });
      const stored = await store.snapshot(domain);
      if (stored === null) throw new Error('the domain was not added');
      const { snapshot: before, version } = stored;
      const after = {
        ...before,
        domain: { ...before.domain, generation: 1, firstActiveAt: 1 },
        keys: before.keys.map((key) => ({ ...key, state: 'active' as const, activatedAt: 1, enteredGeneration: 1 })),
      };
      await store.commit({ name: domain, version }, { before, after, events: [] });
    }
    return store;
  }

  test('puts off the mail of a domain whose key cannot be opened, and signs that of the others', async () => {
    await using store = await storeOfTwo();
    const damaged: Store = Object.assign(Object.create(store), {
      // biome-ignore lint/correctness/useYield: it fails before it gives anything
      keyrings: async function* () {
        throw new Error('a sealed key does not open');
      },
      keyring: (name: string) =>
        name === 'bad.test' ? Promise.reject(new Error('a sealed key does not open')) : store.keyring(name),
    });
    const { milter } = configSchema.parse({ milter: { listen: ['inet:127.0.0.1:0'] } });
    const role = await startMilterRole('milter', milter, { store: damaged, clock: systemClock, log: silentLog });
    try {
      using client = await connectMilter(role.server.endpoints[0] ?? '');
      const good = await client.deliver(rehearsalMessage('good.test', 1, 0));
      expect(good.added.map(({ name }) => name)).toContain('DKIM-Signature');
      const bad = await client.deliver(rehearsalMessage('bad.test', 2, 0));
      expect(bad).toMatchObject({ verdict: 'tempfailed', added: [] });
      const foreign = await client.deliver(rehearsalMessage('foreign.test', 3, 0));
      expect(foreign).toMatchObject({ verdict: 'accepted', added: [] });
    } finally {
      await role.stop();
    }
  });

  test('puts off the mail of a domain whose private half turns out to be no key, and signs that of the others', async () => {
    await using store = await storeOfTwo();
    const damaged: Store = Object.assign(Object.create(store), {
      keyrings: async function* () {
        for await (const keyring of store.keyrings()) {
          const streams = keyring.streams.map(({ name, keys }) => ({
            name,
            keys: keys.map((key) => (keyring.domain === 'bad.test' ? { ...key, pkcs8: new Uint8Array(48) } : key)),
          }));
          yield { ...keyring, streams };
        }
      },
    });
    const { milter } = configSchema.parse({ milter: { listen: ['inet:127.0.0.1:0'] } });
    const role = await startMilterRole('milter', milter, { store: damaged, clock: systemClock, log: silentLog });
    try {
      using client = await connectMilter(role.server.endpoints[0] ?? '');
      expect(await client.deliver(rehearsalMessage('bad.test', 1, 0))).toMatchObject({
        verdict: 'tempfailed',
        added: [],
      });
      expect(await client.deliver(rehearsalMessage('good.test', 2, 0))).toMatchObject({ verdict: 'accepted' });
      expect(await client.deliver(rehearsalMessage('bad.test', 3, 0))).toMatchObject({
        verdict: 'tempfailed',
        added: [],
      });
      expect(role.server.metrics.counters).toMatchObject({ signed: 1, tempfailed: 2 });
    } finally {
      await role.stop();
    }
  });

  test('signs as `milter.sign` says: header lists, canonicalization, expiry; and takes so many connections', async () => {
    await using store = await storeOfTwo();
    const { milter } = configSchema.parse({
      milter: {
        listen: ['inet:127.0.0.1:0'],
        maxConnections: 1,
        sign: {
          canonicalization: 'relaxed/simple',
          headers: ['From', 'Subject'],
          oversign: ['from'],
          expiresAfter: '7d',
        },
      },
    });
    const role = await startMilterRole('milter', milter, { store, clock: systemClock, log: silentLog });
    try {
      using client = await connectMilter(role.server.endpoints[0] ?? '');
      const { added } = await client.deliver(rehearsalMessage('good.test', 1, 0));
      const tags = new Map(
        (added[0]?.value ?? '').split(';').map((tag): [string, string] => {
          const [name = '', value = ''] = tag.replace(/\s+/g, '').split(/=(.*)/s);
          return [name, value];
        }),
      );
      expect(tags.get('c')).toBe('relaxed/simple');
      expect(tags.get('h')?.toLowerCase()).toBe('from:from:subject');
      expect(Number(tags.get('x')) - Number(tags.get('t'))).toBe(7 * 86_400);
      await expect(connectMilter(role.server.endpoints[0] ?? '')).rejects.toThrow();
      expect(role.server.metrics.counters.refusedConnections).toBe(1);
    } finally {
      await role.stop();
    }
  });
});

describe('publishers', () => {
  test('are chosen by the longest zone; what nobody claims is set by hand', async () => {
    await using store = await openMemoryStore();
    const key = { name: 'k', secret: 'c2VjcmV0' };
    const config = configSchema.parse({
      dns: {
        zones: ['keys.test', '_domainkey.x.example.com'].map((apex) => ({ apex, nameservers: ['ns1.keys.test'] })),
      },
      publishers: [
        { name: 'wide', kind: 'rfc2136', zones: ['example.com'], servers: ['192.0.2.1'], key },
        { name: 'narrow', kind: 'rfc2136', zones: ['eu.example.com', 'own.keys.test'], servers: ['192.0.2.1'], key },
      ],
    });
    const choose = (more: typeof config.publishers) => {
      const publisherOf = choosePublishers({
        config: { ...config, publishers: [...config.publishers, ...more] },
        store,
        clock: systemClock,
        zoneChanged: async () => {},
      });
      return (domain: string) => publisherOf(domain).name;
    };
    const name = choose([]);
    expect(['example.com', 'y.example.com', 'eu.example.com', 'a.b.eu.example.com'].map(name)).toEqual([
      'wide',
      'wide',
      'narrow',
      'narrow',
    ]);
    // The keys of one domain alone are delegated to us; those of the domains below it are not.
    expect(['x.example.com', 'a.x.example.com'].map(name)).toEqual(['builtin', 'wide']);
    expect(['keys.test', 'x.keys.test', 'own.keys.test', 'example.net', 'notexample.com'].map(name)).toEqual([
      'builtin',
      'builtin',
      'narrow',
      'manual',
      'manual',
    ]);
    expect(choose([{ name: 'rest', kind: 'manual', zones: [] }])('example.net')).toBe('rest');
  });
});

describe('keyturn serve', () => {
  test('that cannot open a socket says which, ends with 3, and leaves the store usable', async () => {
    using dir = tempDir('taken');
    await writeFastConfig(dir, 'example.test', { milter: { listen: ['unix:/nowhere/at/all.sock'] } });
    const { code, stderr } = await keyturn(['serve'], { cwd: dir.path });
    expect(code).toBe(3);
    expect(stderr).toContain('/nowhere/at/all.sock');
    expect(stderr).not.toContain('    at ');
    expect((await keyturn(['domain', 'list'], { cwd: dir.path })).code).toBe(0);
  });

  test('with a TSIG secret that cannot be read says so, and ends with 2', async () => {
    using dir = tempDir('secret');
    const publishers = [
      { name: 'bind', kind: 'rfc2136', servers: ['127.0.0.1'], key: { name: 'k', secretFile: 'none.secret' } },
    ];
    await writeFastConfig(dir, 'example.test', { publishers });
    const { code, stderr } = await keyturn(['serve'], { cwd: dir.path });
    expect(code).toBe(2);
    expect(stderr).toMatch(/the publisher bind cannot be used: .*none\.secret/);
  });
});
