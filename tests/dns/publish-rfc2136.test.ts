/** The RFC 2136 publisher against the servers that people run. */
import { connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPublisher, type PublisherDependencies } from '../../src/dns/publish/create.ts';
import type { Publisher, RecordContent } from '../../src/dns/publish/publisher.ts';
import { behindAliases } from '../../src/dns/publish/target.ts';
import {
  createMessage,
  decodeMessage,
  type Message,
  type ResourceRecord,
  txtData,
  txtValue,
} from '../../src/dns/wire/message.ts';
import { frameMessage, StreamReader } from '../../src/dns/wire/stream.ts';
import { exchange } from '../../src/dns/wire/transport.ts';
import { startBind } from '../support/bind.ts';
import { type DnsServer, type PrimaryZone, type TsigKey, tsigKey } from '../support/dns-server.ts';
import { startKnot } from '../support/knot.ts';
import { need } from '../support/need.ts';
import { freePort } from '../support/ports.ts';

const limited = tsigKey('keyturn-limited', 'hmac-sha512');
const full = tsigKey('full', 'hmac-sha384');
const stranger = tsigKey('stranger');
/** A 4096-bit RSA key's record: three strings. */
const long = `v=DKIM1; k=rsa; p=${'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8A'.repeat(23)}`;

const zone: PrimaryZone = {
  apex: 'example.com',
  records: ['taken._domainkey TXT "v=DKIM1; p=theirs"', 'alias._domainkey CNAME elsewhere.example.net.'],
  update: [
    { key: limited, scope: 'domainkeys' },
    { key: full, scope: 'zone' },
  ],
};
/** Here every name without records of its own seems to have them. */
const wild: PrimaryZone = {
  apex: 'wild.example',
  records: ['* TXT "v=spf1 -all"'],
  update: [{ key: limited, scope: 'domainkeys' }],
};

describe.skipIf(!need('named', 'bind9'))('rfc2136 with BIND', () => {
  cases(() => startBind({ zones: [zone, wild, { apex: 'closed.example' }] }));
});

describe.skipIf(!need('knotd', 'knot'))('rfc2136 with Knot', () => {
  cases(() => startKnot({ zones: [zone, wild, { apex: 'closed.example' }] }));
});

function cases(start: () => Promise<DnsServer>): void {
  let server: DnsServer;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server.stop());

  interface Variation {
    readonly key?: TsigKey;
    readonly zone?: string;
    readonly servers?: readonly string[];
    readonly timeout?: number;
    readonly now?: () => number;
    readonly findApex?: PublisherDependencies['findApex'];
  }
  const publisher = ({ key = limited, servers, now = Date.now, findApex, ...rest }: Variation = {}): Publisher =>
    createPublisher(
      { kind: 'rfc2136', name: 'test', servers: servers ?? [`127.0.0.1:${server.port}`], key, ...rest },
      { clock: { now }, ...(findApex === undefined ? {} : { findApex }) },
    );
  const set = (by: Publisher, name: string, desired: RecordContent, ours: readonly string[] = []) =>
    by.apply({ name, desired, ours });

  /** What stands there, seen with other eyes than the publisher's. */
  async function records(name: string, type = 'TXT'): Promise<readonly ResourceRecord[]> {
    const request = createMessage({ questions: [{ name, type, class: 'IN' }] });
    return (await exchange(request, { address: '127.0.0.1', port: server.port })).message.answers;
  }
  async function shown(name: string): Promise<[string, number][]> {
    return (await records(name))
      .flatMap(({ data, ttl }) => (data.kind === 'TXT' ? [[txtValue(data), ttl] as const] : []))
      .map(([v, t]) => [v, t]);
  }
  async function serial(): Promise<number> {
    const [soa] = await records('example.com', 'SOA');
    return soa?.data.kind === 'SOA' ? soa.data.serial : -1;
  }
  /** An update by another hand. */
  async function byHand(
    name: string,
    additions: readonly ResourceRecord[],
    remove: readonly string[] = [],
  ): Promise<void> {
    const key = { name: full.name, algorithm: full.algorithm, secret: Buffer.from(full.secret, 'base64') };
    const deletions = remove.map(
      (type): ResourceRecord => ({ name, type, class: 'ANY', ttl: 0, data: { kind: 'EMPTY' } }),
    );
    const update = createMessage({
      opcode: 'UPDATE',
      questions: [{ name: 'example.com', type: 'SOA', class: 'IN' }],
      authorities: [...deletions, ...additions],
    });
    const tsig = { key, now: () => Math.floor(Date.now() / 1000) };
    const { message } = await exchange(update, { address: '127.0.0.1', port: server.port, transport: 'tcp', tsig });
    expect(message.rcode).toBe('NOERROR');
  }
  const txt = (name: string, value: string, ttl = 300): ResourceRecord => ({
    name,
    type: 'TXT',
    class: 'IN',
    ttl,
    data: txtData(value),
  });

  it('writes below the target of aliases, and says what right is missing there', async () => {
    const name = 's1._domainkey.customer.test';
    const target = 'dkim.example.com';
    const written = 's1.customer.test.dkim.example.com';
    const behind = (key: TsigKey): Publisher => behindAliases(publisher({ key }), target);
    expect(await set(behind(full), name, { value: long, ttl: 300 })).toEqual({ kind: 'done' });
    expect(await shown(written)).toEqual([[long, 300]]);
    const refused = await set(behind(limited), name, { value: 'v=DKIM1; p=', ttl: 300 }, [long]);
    expect(refused).toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(/grant keyturn-limited zonesub TXT|BADKEY.*no rule lets/),
    });
    expect(await set(behind(full), name, null, [long])).toEqual({ kind: 'done' });
    expect(await shown(written)).toEqual([]);
  });

  it('leads a record through its life: created, repeated, TTL changed, revoked, removed', async () => {
    const name = 'life._domainkey.example.com';
    const by = publisher();
    const steps: readonly (readonly [RecordContent, readonly string[]])[] = [
      [{ value: long, ttl: 300 }, []],
      [{ value: long, ttl: 3600 }, [long]],
      [{ value: 'v=DKIM1; p=', ttl: 3600 }, [long]],
      [null, [long, 'v=DKIM1; p=']],
    ];
    for (const [desired, ours] of steps) {
      expect(await set(by, name, desired, ours)).toEqual({ kind: 'done' });
      expect(await shown(name)).toEqual(desired === null ? [] : [[desired.value, desired.ttl]]);
      const before = await serial();
      expect(await set(by, name, desired, ours)).toEqual({ kind: 'done' });
      expect(await serial()).toBe(before);
    }
  });

  it('cuts long values into strings of 255 bytes', async () => {
    const name = 'long._domainkey.example.com';
    expect(long.length).toBeGreaterThan(510);
    await set(publisher(), name, { value: long, ttl: 300 });
    const [record] = await records(name);
    expect(record?.data.kind === 'TXT' && record.data.strings.map((string) => string.length)).toEqual([
      255,
      255,
      long.length - 510,
    ]);
  });

  it('takes over what is ours however it was cut, and several of ours at once', async () => {
    const name = 'cut._domainkey.example.com';
    const pieces = ['v=DKIM1; ', 'p=', 'old'].map((piece) => new Uint8Array(Buffer.from(piece)));
    await byHand(name, [{ ...txt(name, ''), data: { kind: 'TXT', strings: pieces } }, txt(name, 'v=DKIM1; p=older')]);
    const ours = ['v=DKIM1; p=old', 'v=DKIM1; p=older'];
    expect(await set(publisher(), name, { value: 'v=DKIM1; p=new', ttl: 60 }, ours)).toEqual({ kind: 'done' });
    expect(await shown(name)).toEqual([['v=DKIM1; p=new', 60]]);
  });

  it.each([
    ['a TXT record', 'taken._domainkey.example.com', 'v=DKIM1; p=theirs'],
    ['a CNAME', 'alias._domainkey.example.com', 'CNAME elsewhere.example.net'],
  ])('leaves %s of others alone, whether it is to write or to delete', async (_, name, found) => {
    const before = await serial();
    for (const desired of [{ value: 'v=DKIM1; p=ours', ttl: 300 }, null]) {
      expect(await set(publisher(), name, desired, ['v=DKIM1; p=ours'])).toMatchObject({
        kind: 'conflict',
        found: [found],
        message: expect.stringContaining(`127.0.0.1:${server.port} was not made: "${found}" stands there`),
      });
    }
    expect(await serial()).toBe(before);
  });

  it('leaves ours alone too where a stranger stands beside it', async () => {
    const name = 'beside._domainkey.example.com';
    await byHand(name, [txt(name, 'ours'), txt(name, 'theirs')]);
    const result = await set(publisher(), name, null, ['ours']);
    expect(result).toMatchObject({ kind: 'conflict', found: expect.arrayContaining(['ours', 'theirs']) });
    expect(await shown(name)).toHaveLength(2);
  });

  it('is not deceived by wildcards, which only seem to stand at the name', async () => {
    const name = 's1._domainkey.wild.example';
    expect(await shown(name)).toHaveLength(1);
    // Nothing of ours is there, and there is nothing to take away.
    expect(await set(publisher(), name, null, ['v=DKIM1; p=ours'])).toEqual({ kind: 'done' });
    expect(await set(publisher(), name, { value: 'v=DKIM1; p=ours', ttl: 60 })).toEqual({ kind: 'done' });
    expect(await shown(name)).toEqual([['v=DKIM1; p=ours', 60]]);
    expect(await set(publisher(), name, null, ['v=DKIM1; p=ours'])).toEqual({ kind: 'done' });
    expect((await shown(name)).map(([value]) => value)).toEqual(['v=spf1 -all']);
  });

  it('lets one of many win when all write at once, and tells the others', async () => {
    const name = 'race._domainkey.example.com';
    const values = Array.from({ length: 6 }, (_, i) => `v=DKIM1; p=${i}`);
    const results = await Promise.all(values.map((value) => set(publisher(), name, { value, ttl: 60 })));
    const kinds = results.map(({ kind }) => kind).sort();
    expect(kinds).toEqual(['conflict', 'conflict', 'conflict', 'conflict', 'conflict', 'done']);
    const winner = values[results.findIndex(({ kind }) => kind === 'done')];
    expect(await shown(name)).toEqual([[winner, 60]]);
  });

  it.each([
    // Without a search for the zone the requests are: the look, the update, the look at what it did.
    ['between its look and its update, whose prerequisites no longer hold', 2],
    ['after its update, before it reads back', 3],
  ])('does not overwrite what another writes %s', async (_, request) => {
    const name = `stale${request}._domainkey.example.com`;
    expect(await set(publisher(), name, { value: 'first', ttl: 60 })).toEqual({ kind: 'done' });
    const proxied = await interceptor(server.port, request, () => byHand(name, [txt(name, 'foreign')], ['TXT']));
    const by = publisher({ servers: [`127.0.0.1:${proxied.port}`], zone: 'example.com' });
    expect(await set(by, name, { value: 'second', ttl: 60 }, ['first'])).toMatchObject({
      kind: 'conflict',
      found: ['foreign'],
    });
    expect(await shown(name)).toEqual([['foreign', 300]]);
    proxied.close();
  });

  it('finds by itself what took effect though the connection was cut before the answer', async () => {
    const name = 'cut-off._domainkey.example.com';
    const proxied = await interceptor(server.port, 2, 'cut');
    const by = publisher({ servers: [`127.0.0.1:${proxied.port}`], zone: 'example.com' });
    const desired = { value: 'v=DKIM1; p=x', ttl: 60 };
    expect(await set(by, name, desired)).toEqual({ kind: 'done' });
    expect(proxied.connections()).toBe(2);
    expect(await shown(name)).toEqual([['v=DKIM1; p=x', 60]]);
    proxied.close();
  });

  it('repeats safely what took effect though no answer came', async () => {
    const name = 'silent._domainkey.example.com';
    const proxied = await interceptor(server.port, 2, 'silence');
    const by = publisher({ servers: [`127.0.0.1:${proxied.port}`], zone: 'example.com', timeout: 1000 });
    const desired = { value: 'v=DKIM1; p=x', ttl: 60 };
    expect(await set(by, name, desired)).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('Whether it took effect is not known; it is safe to repeat'),
    });
    expect(await shown(name)).toEqual([['v=DKIM1; p=x', 60]]);
    expect(await set(publisher(), name, desired)).toEqual({ kind: 'done' });
    proxied.close();
  });

  it('keeps its connections, signs what it asks, and puts changes that come together into few updates', async () => {
    const proxied = await interceptor(server.port, 0, 'cut');
    const by = publisher({ servers: [`127.0.0.1:${proxied.port}`], zone: 'example.com' });
    const names = Array.from({ length: 40 }, (_, i) => `many${i}._domainkey.example.com`);
    const before = await serial();
    const results = await Promise.all(
      [...names, 'taken._domainkey.example.com'].map((name) => set(by, name, { value: long, ttl: 60 })),
    );
    expect(results.map(({ kind }) => kind)).toEqual([...names.map(() => 'done'), 'conflict']);
    for (const name of names) expect(await shown(name)).toEqual([[long, 60]]);
    // The conflict made one message fall apart at most; all others were shared.
    expect((await serial()) - before).toBeLessThanOrEqual(names.length);
    expect(proxied.connections()).toBeLessThanOrEqual(3);
    const together = await serial();
    const gone = await Promise.all(names.map((name) => set(by, name, null, [long])));
    expect(new Set(gone.map(({ kind }) => kind))).toEqual(new Set(['done']));
    expect((await serial()) - together).toBeLessThanOrEqual(10);
    const queries = proxied.requests().filter(({ opcode }) => opcode === 'QUERY');
    expect(queries.length).toBeGreaterThan(80);
    const signed = queries.filter(({ additionals }) => additionals.some(({ data }) => data.kind === 'TSIG'));
    expect(signed).toHaveLength(queries.length);
    proxied.close();
  });

  it('finds the zone by asking the server, by the finder, or in its settings', async () => {
    const desired = { value: 'v', ttl: 60 };
    const asked: string[] = [];
    const findApex = async (name: string): Promise<string> => {
      asked.push(name);
      return 'example.com';
    };
    expect(await set(publisher({ findApex }), 'a._domainkey.example.com', desired)).toEqual({ kind: 'done' });
    expect(asked).toEqual(['a._domainkey.example.com']);
    expect(await set(publisher({ zone: 'example.com' }), 'b._domainkey.example.com', desired)).toEqual({
      kind: 'done',
    });
    expect(await set(publisher({ zone: 'example.com' }), 'b._domainkey.example.org', desired)).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('does not lie in example.com'),
    });
    expect(await set(publisher({ findApex: async () => null }), 'c._domainkey.example.com', desired)).toMatchObject({
      kind: 'failed',
    });
  });

  it.each([
    [
      'a name beyond its rights',
      { key: limited },
      'www.example.com',
      /REFUSED.*may not change TXT records|BADKEY.*no rule lets/,
    ],
    [
      'a zone that takes no updates',
      { key: limited },
      's._domainkey.closed.example',
      /REFUSED|NOTAUTH|BADKEY.*no rule lets/,
    ],
    ['a key that the server does not know', { key: stranger }, 's._domainkey.example.com', /BADKEY.*"stranger"/],
    ['a wrong secret', { key: { ...limited, secret: stranger.secret } }, 's._domainkey.example.com', /BADSIG/],
    ['another algorithm', { key: { ...limited, algorithm: 'hmac-sha256' } }, 's._domainkey.example.com', /BADKEY/],
    [
      'a slow clock',
      { now: () => Date.now() - 3_600_000 },
      's._domainkey.example.com',
      /BADTIME.*differ by 3[56]\d\d s/,
    ],
    ['a name of no zone there', {}, 's._domainkey.example.org', /REFUSED|NOTAUTH/],
  ] as const)('is refused for %s, and says what to do', async (_, variation, name, expected) => {
    const result = await set(publisher(variation), name, { value: 'v', ttl: 60 });
    expect(result.kind).toBe('refused');
    if (result.kind !== 'refused') return;
    expect(result.message).toMatch(expected);
    expect(result.message).toContain(`127.0.0.1:${server.port}`);
    expect(result.message).not.toContain(limited.secret);
  });

  it('goes to the next server when one is down, and only then', async () => {
    const down = `127.0.0.1:${await freePort()}`;
    const desired = { value: 'v', ttl: 60 };
    const up = `127.0.0.1:${server.port}`;
    expect(await set(publisher({ servers: [down, up] }), 'next._domainkey.example.com', desired)).toEqual({
      kind: 'done',
    });
    expect(await set(publisher({ servers: [down, down] }), 'next._domainkey.example.com', desired)).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('ECONNREFUSED'),
    });
    const refused = await set(publisher({ servers: [up, down], key: stranger }), 'n._domainkey.example.com', desired);
    expect(refused.kind).toBe('refused');
  });

  it('fails while the server hangs or is dead, and goes on when it is back', async () => {
    const name = 'back._domainkey.example.com';
    const desired = { value: 'v=DKIM1; p=back', ttl: 60 };
    const by = publisher();
    server.freeze();
    const hanging = await set(publisher({ timeout: 300 }), name, desired);
    server.thaw();
    expect(hanging).toMatchObject({ kind: 'failed', message: expect.stringContaining('no answer over TCP within') });

    const abort = new AbortController();
    server.freeze();
    setTimeout(() => abort.abort(), 50);
    const calledOff = await publisher({ timeout: 20_000 }).apply({ name, desired, ours: [] }, abort.signal);
    server.thaw();
    expect(calledOff).toMatchObject({ kind: 'failed', message: expect.stringContaining('called off') });

    expect(await set(by, 'kept._domainkey.example.com', desired)).toEqual({ kind: 'done' });
    await server.kill();
    expect((await set(by, name, desired)).kind).toBe('failed');
    await server.restart();
    expect(await shown('kept._domainkey.example.com')).toEqual([[desired.value, 60]]);
    expect(await set(by, name, desired)).toEqual({ kind: 'done' });
  });
}

/**
 * Stands before a server. Before the request of this number (from 1, over all connections) is passed on, `what` is done; with `cut` the
 * connection is cut when the server answers it, with `silence` nothing more comes back on it.
 */
async function interceptor(
  port: number,
  number: number,
  what: (() => Promise<void>) | 'cut' | 'silence',
): Promise<{ readonly port: number; connections(): number; requests(): readonly Message[]; close(): void }> {
  const sockets = new Set<Socket>();
  const requests: Message[] = [];
  let connections = 0;
  const listener = createServer((client) => {
    connections++;
    const upstream = connect(port, '127.0.0.1');
    const reader = new StreamReader();
    let lost = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    client.on('data', async (chunk) => {
      client.pause();
      for (const bytes of reader.push(chunk)) {
        const isIt = requests.push(decodeMessage(bytes)) === number;
        if (isIt && typeof what === 'function') await what();
        else if (isIt) lost = true;
        upstream.write(frameMessage(bytes));
      }
      client.resume();
    });
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
    upstream.on('data', (chunk) => {
      if (!lost) client.write(chunk);
      else if (what === 'cut') client.destroy();
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    connections: () => connections,
    requests: () => requests,
    close: () => {
      listener.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
