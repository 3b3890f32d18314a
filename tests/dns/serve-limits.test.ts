/** The built-in server against clients that are many, slow, rude or forged. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type AuthoritativeServer,
  type AuthoritativeServerOptions,
  createAuthoritativeServer,
} from '../../src/dns/serve/server.ts';
import { createZoneStore } from '../../src/dns/serve/zone-store.ts';
import { createMessage, decodeMessage, encodeMessage, type Message } from '../../src/dns/wire/message.ts';
import { frameMessage, StreamReader } from '../../src/dns/wire/stream.ts';
import { transferZone } from '../../src/dns/wire/transfer.ts';
import { waitFor } from '../support/processes.ts';

const names = Array.from({ length: 3000 }, (_, i) => `s${i}._domainkey.example.test`);
const zones = createZoneStore([
  {
    apex: 'example.test',
    nameServers: ['ns1.example.test'],
    records: names.map((name) => [name, { value: 'v'.repeat(400), ttl: 60 }]),
  },
]);

async function start(
  options: Partial<AuthoritativeServerOptions> = {},
): Promise<{ server: AuthoritativeServer; port: number; errors: Error[] }> {
  const errors: Error[] = [];
  const server = await createAuthoritativeServer({
    zones,
    listen: [{ address: '127.0.0.1', port: 0 }],
    onError: (error) => errors.push(error),
    ...options,
  });
  onTestFinished(() => server.close());
  return { server, port: server.endpoints[0]?.port ?? 0, errors };
}

const query = (name: string, id = 1): Uint8Array =>
  encodeMessage(createMessage({ id, questions: [{ name, type: 'TXT', class: 'IN' }] }));

interface Client {
  readonly socket: Socket;
  readonly messages: Message[];
  closed(): boolean;
}

async function connect(port: number): Promise<Client> {
  const socket = createConnection({ port, host: '127.0.0.1', allowHalfOpen: true });
  const messages: Message[] = [];
  const reader = new StreamReader();
  let closed = false;
  socket.on('error', () => undefined);
  socket.on('close', () => {
    closed = true;
  });
  socket.on('end', () => socket.end());
  socket.on('data', (chunk) => messages.push(...reader.push(chunk).map(decodeMessage)));
  await once(socket, 'connect');
  onTestFinished(() => void socket.destroy());
  return { socket, messages, closed: () => closed };
}

describe('TCP', () => {
  test('answers what is pipelined in order, however it is cut, and after the client has finished', async () => {
    const { port } = await start();
    const { socket, messages, closed } = await connect(port);
    const asked = names.slice(0, 300);
    const bytes = Buffer.concat(asked.map((name, i) => frameMessage(query(name, i))));
    for (let at = 0; at < bytes.length; at += 777) socket.write(bytes.subarray(at, at + 777));
    socket.end();
    await waitFor(() => closed(), { what: 'the connection to end' });
    expect(messages.map(({ id, answers }) => [id, answers[0]?.name])).toEqual(asked.map((name, i) => [i, name]));
  });

  test('ends connections without a whole request, though bytes dribble in', async () => {
    const { port, server } = await start({ tcp: { idle: 300 } });
    const silent = await connect(port);
    const dribbling = await connect(port);
    const dribble = setInterval(() => dribbling.socket.write(new Uint8Array([0])), 20);
    onTestFinished(() => clearInterval(dribble));
    await waitFor(() => silent.closed() && dribbling.closed(), {
      what: 'idle connections to be closed',
      within: 10_000,
    });
    await waitFor(() => server.statistics().connections === 0, { what: 'no connection to be left' });
  });

  test('one network has its share, and beyond the whole the longest idle goes', async () => {
    const { port, server } = await start({ tcp: { connections: 3, connectionsPerNetwork: 100 } });
    const clients: Client[] = [];
    for (let i = 0; i < 5; i += 1) {
      const client = await connect(port);
      clients.push(client);
      client.socket.write(frameMessage(query(names[0] ?? '', i)));
      await waitFor(() => client.messages.length === 1, { what: `the answer to client ${i}` });
    }
    await waitFor(() => clients.filter((client) => client.closed()).length === 2, { what: 'two to be closed' });
    expect(clients.map((client) => client.closed())).toEqual([true, true, false, false, false]);
    expect(server.statistics().connections).toBe(3);

    const strict = await start({ tcp: { connectionsPerNetwork: 2 } });
    const many = await Promise.all(Array.from({ length: 4 }, () => connect(strict.port)));
    await waitFor(() => many.filter((client) => client.closed()).length === 2, { what: 'two to be refused' });
    many.find((client) => !client.closed())?.socket.destroy();
    await waitFor(() => strict.server.statistics().connections === 1, { what: 'room' });
    const next = await connect(strict.port);
    next.socket.write(frameMessage(query(names[0] ?? '')));
    await waitFor(() => next.messages.length === 1, { what: 'an answer once there is room' });
  });

  test('a client that does not read holds up only itself, in little memory, and not for ever', async () => {
    const { port, server } = await start({ tcp: { idle: 5000 } });
    const slow = await connect(port);
    slow.socket.pause();
    const frame = frameMessage(query(names[0] ?? ''));
    const flood = Buffer.concat(Array<Uint8Array>(2000).fill(frame));
    for (let i = 0; i < 20; i += 1) slow.socket.write(flood);
    const other = await connect(port);
    other.socket.write(frame);
    await waitFor(() => other.messages.length === 1, { what: 'the answer to another client' });
    let last = -1;
    const resting = async (): Promise<boolean> => {
      await sleep(500);
      const before = last;
      last = server.statistics().tcpRequests;
      return last === before;
    };
    await waitFor(resting, { what: 'the server to read no further' });
    // 40,000 requests were sent; those that the server has read are fewer, for their answers wait in bounded buffers.
    expect(last).toBeLessThan(40_000);
    await waitFor(() => slow.closed() || server.statistics().connections <= 1, {
      what: 'the slow client to be dropped',
      within: 15_000,
    });
  });

  test('junk, answers and hostile lengths end the connection or get FORMERR; the server goes on', async () => {
    const { port, errors } = await start();
    const junk = [
      frameMessage(new Uint8Array(0)),
      frameMessage(new Uint8Array(5)),
      frameMessage(encodeMessage(createMessage({ flags: { qr: true } }))),
    ];
    for (const bytes of junk) {
      const { socket, messages, closed } = await connect(port);
      socket.write(bytes);
      await waitFor(() => closed(), { what: 'the connection to end' });
      expect(messages).toEqual([]);
    }
    const odd = await connect(port);
    odd.socket.write(frameMessage(Buffer.concat([query(names[0] ?? '', 77), new Uint8Array([1, 2, 3])])));
    await waitFor(() => odd.messages.length === 1, { what: 'FORMERR' });
    expect(odd.messages[0]).toMatchObject({ id: 77, rcode: 'FORMERR' });
    const cut = await connect(port);
    cut.socket.write(new Uint8Array([255, 255, 1, 2, 3]));
    cut.socket.resetAndDestroy();
    odd.socket.write(frameMessage(query(names[1] ?? '', 78)));
    await waitFor(() => odd.messages.length === 2, { what: 'an answer afterwards' });
    expect(errors).toEqual([]);
  });

  test('answers reach a client that has finished sending and reads late', async () => {
    const { port } = await start({ transfers: () => ({ networks: ['127.0.0.1'] }) });
    const { socket, messages, closed } = await connect(port);
    const axfr = encodeMessage(createMessage({ questions: [{ name: 'example.test', type: 'AXFR', class: 'IN' }] }));
    socket.pause();
    for (let i = 0; i < 12; i += 1) socket.write(frameMessage(axfr));
    socket.end();
    await sleep(300);
    socket.resume();
    await waitFor(() => closed(), { what: 'the connection to end' });
    const records = messages.flatMap(({ answers }) => answers);
    expect(records).toHaveLength(12 * (names.length + 3));
    expect(records.filter(({ type }) => type === 'SOA')).toHaveLength(24);
  });

  test('a secondary transfers by its address, but not where it has a key', async () => {
    const key = { name: 'transfer.example', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 1) } as const;
    // Nobody listens there: this is about who may ask.
    const secondary = { address: '127.0.0.1', port: 9 };
    const open = await start({ transfers: () => ({ secondaries: [secondary] }) });
    const keyed = await start({ keys: [key], transfers: () => ({ secondaries: [{ ...secondary, key }] }) });
    const transfer = (port: number, tsig = {}): Promise<readonly unknown[]> =>
      transferZone('example.test', { address: '127.0.0.1', port, timeoutMs: 20_000, ...tsig });
    expect(await transfer(open.port)).toHaveLength(names.length + 2);
    await expect(transfer(keyed.port)).rejects.toThrow(/REFUSED/);
    const tsig = { tsig: { key, now: () => Math.floor(Date.now() / 1000) } };
    expect(await transfer(keyed.port, tsig)).toHaveLength(names.length + 2);
  });

  test('a large transfer is whole while the zone changes under it', async () => {
    const { port } = await start({ transfers: () => ({ networks: ['127.0.0.0/8'] }) });
    const transfers = Array.from({ length: 4 }, () =>
      transferZone('example.test', { address: '127.0.0.1', port, timeoutMs: 20_000 }),
    );
    for (let i = 0; i < 50; i += 1) zones.set(names[i] ?? '', { value: `changed ${i}`, ttl: 60 });
    for (const records of await Promise.all(transfers)) expect(records).toHaveLength(names.length + 2);
    const bare = await start();
    await expect(transferZone('example.test', { address: '127.0.0.1', port: bare.port })).rejects.toThrow(/REFUSED/);
  });
});

describe('UDP', () => {
  async function flood(port: number, packets: readonly Uint8Array[], quiet = 300): Promise<Message[]> {
    const socket = createSocket('udp4');
    onTestFinished(() => void socket.close());
    const got: Message[] = [];
    let last = performance.now();
    socket.on('message', (bytes) => {
      got.push(decodeMessage(bytes));
      last = performance.now();
    });
    for (const [i, packet] of packets.entries()) {
      socket.send(packet, port, '127.0.0.1');
      if (i % 50 === 49) await sleep(2);
    }
    await waitFor(() => performance.now() - last > quiet, { what: 'quiet' });
    return got;
  }

  test('equal answers are limited, and some of those held back say: come over TCP', async () => {
    const { port, server } = await start({ rateLimit: { responsesPerSecond: 5, burst: 4, slip: 3 } });
    const same = await flood(
      port,
      Array.from({ length: 300 }, (_, i) => query(names[0] ?? '', i)),
    );
    const { dropped, truncated, udpRequests } = server.statistics();
    const whole = same.filter(({ flags }) => !flags.tc);
    expect(udpRequests).toBe(dropped + truncated + whole.length);
    expect(dropped).toBeGreaterThan(truncated);
    expect(truncated).toBeGreaterThan(0);
    expect(whole.length).toBeGreaterThanOrEqual(20);
    expect(whole.length).toBeLessThan(udpRequests / 2);
    expect(same.filter(({ flags }) => flags.tc).every(({ answers }) => answers.length === 0)).toBe(true);
    // Names that do not exist are without end: they share one limit.
    const before = server.statistics();
    const random = await flood(
      port,
      Array.from({ length: 200 }, (_, i) => query(`x${i}.example.test`, i)),
    );
    expect(server.statistics().dropped).toBeGreaterThan(before.dropped);
    expect(random.filter(({ flags }) => !flags.tc).length).toBeLessThan(100);
    // Over TCP nobody can forge an address.
    const tcp = await connect(port);
    for (let i = 0; i < 100; i += 1) tcp.socket.write(frameMessage(query(names[0] ?? '', i)));
    await waitFor(() => tcp.messages.length === 100, { what: 'all answers over TCP' });
  });

  test('junk and answers get nothing, and the server goes on', async () => {
    const { port, errors, server } = await start();
    const answer = encodeMessage(
      createMessage({ id: 9, flags: { qr: true }, questions: [{ name: 'example.test', type: 'SOA', class: 'IN' }] }),
    );
    const got = await flood(port, [
      new Uint8Array(0),
      new Uint8Array(11),
      answer,
      Buffer.alloc(60_000, 255),
      query(names[2999] ?? '', 5),
    ]);
    expect(got.map(({ id, rcode }) => [id, rcode])).toEqual([[5, 'NOERROR']]);
    expect(server.statistics().udpRequests).toBe(5);
    expect(errors).toEqual([]);
  });
});

describe('listening', () => {
  test('a port that is taken is named, and nothing stays open', async () => {
    const { port } = await start();
    const free = await start();
    await free.server.close();
    const address = '127.0.0.1';
    const taken = createAuthoritativeServer({
      zones,
      listen: [
        { address, port: free.port },
        { address, port },
      ],
    });
    await expect(taken).rejects.toThrow(new RegExp(`Listening for DNS on TCP 127.0.0.1 port ${port}: .*EADDRINUSE`));
    const again = await start({ listen: [{ address, port: free.port }] });
    expect(again.port).toBe(free.port);
  });
});
