/** Exchanges with servers that misbehave, on the loopback address. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type Socket as Connection, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { createMessage, decodeMessage, encodeMessage, type Message, txtData } from './message.ts';
import { frameMessage, StreamReader } from './stream.ts';
import { transferZone } from './transfer.ts';
import { type Exchange, type ExchangeOptions, exchange, TransportError } from './transport.ts';
import { signTsig, type TsigKey } from './tsig.ts';

const query = createMessage({ questions: [{ name: 'Example.com', type: 'TXT', class: 'IN' }] });
/** Containers are often started without. */
const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function answerTo(request: Message, parts: Partial<Message> = {}): Message {
  const answers = [{ name: 'example.com', type: 'TXT', class: 'IN', ttl: 60, data: txtData('answer') }] as const;
  return { ...request, additionals: [], flags: { ...request.flags, qr: true }, answers, ...parts };
}

/** Calls `reply` for each packet that comes; answers the port. */
async function udpServer(
  reply: (request: Message, send: (bytes: Uint8Array) => void, from: { port: number }) => void,
): Promise<number> {
  const socket: Socket = createSocket('udp4');
  cleanups.push(() => socket.close());
  socket.on('message', (bytes, peer) => {
    reply(decodeMessage(bytes), (answer) => socket.send(answer, peer.port, peer.address), peer);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket.address().port;
}

async function tcpServer(
  reply: (request: Message, connection: Connection) => void,
  { host = '127.0.0.1', port = 0 } = {},
): Promise<number> {
  const server = createServer((connection) => {
    cleanups.push(() => connection.destroy());
    const reader = new StreamReader();
    connection.on('error', () => undefined);
    connection.on('data', (chunk) => {
      for (const bytes of reader.push(chunk)) reply(decodeMessage(bytes), connection);
    });
  });
  cleanups.push(() => server.close());
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function failure(port: number, options: Partial<ExchangeOptions> = {}): Promise<TransportError> {
  const outcome: Exchange | unknown = await exchange(query, {
    address: '127.0.0.1',
    port,
    timeoutMs: 20_000,
    ...options,
  }).catch((e) => e);
  if (outcome instanceof TransportError) return outcome;
  throw new Error('expected a TransportError');
}

const ask = (port: number, options: Partial<ExchangeOptions> = {}): Promise<Exchange> =>
  exchange(query, { address: '127.0.0.1', port, timeoutMs: 20_000, ...options });

describe('over UDP', () => {
  it('takes the answer and nothing else that comes before it', async () => {
    const stranger = createSocket('udp4');
    cleanups.push(() => stranger.close());
    const port = await udpServer((request, send, from) => {
      send(Buffer.from('junk'));
      send(new Uint8Array());
      send(encodeMessage(request));
      const decoy = (parts: Partial<Message>): void =>
        send(encodeMessage(answerTo(request, { answers: [], ...parts })));
      decoy({ id: request.id ^ 1 });
      decoy({ opcode: 'NOTIFY' });
      decoy({ questions: [{ name: 'example.org', type: 'TXT', class: 'IN' }] });
      decoy({ questions: [{ name: 'example.com', type: 'A', class: 'IN' }] });
      decoy({ questions: [{ name: 'example.com', type: 'TXT', class: 'CH' }] });
      decoy({ questions: [...request.questions, ...request.questions] });
      decoy({ questions: [] });
      // From another port: a guesser who knows everything but the server's own port.
      stranger.send(encodeMessage(answerTo(request, { rcode: 'NXDOMAIN' })), from.port, '127.0.0.1', () =>
        send(encodeMessage(answerTo(request))),
      );
    });
    const { message, transport, milliseconds } = await ask(port);
    expect(message).toMatchObject({ rcode: 'NOERROR', answers: [{ name: 'example.com' }] });
    expect(transport).toBe('udp');
    expect(milliseconds).toBeGreaterThan(0);
  });

  it('takes an error without a question, and a question in other case', async () => {
    const port = await udpServer((request, send) =>
      send(encodeMessage(answerTo(request, { questions: [], answers: [], rcode: 'FORMERR' }))),
    );
    expect((await ask(port)).message.rcode).toBe('FORMERR');
    const shouting = await udpServer((request, send) =>
      send(encodeMessage(answerTo(request, { questions: [{ name: 'EXAMPLE.COM', type: 'TXT', class: 'IN' }] }))),
    );
    expect((await ask(shouting)).message.rcode).toBe('NOERROR');
  });

  it('uses a new id and a new port each time', async () => {
    const seen = new Set<string>();
    const port = await udpServer((request, send, from) => {
      seen.add(`${request.id}`).add(`port ${from.port}`);
      send(encodeMessage(answerTo(request)));
    });
    for (let i = 0; i < 20; i++) await ask(port);
    // Of twenty random ids two may be the same, hardly three; so may ports.
    expect(seen.size).toBeGreaterThan(34);
  });

  it('sends again when nothing comes', async () => {
    let packets = 0;
    const port = await udpServer((request, send) => {
      if (++packets === 3) send(encodeMessage(answerTo(request)));
    });
    expect((await ask(port, { timeoutMs: 20_000, attempts: 100 })).message.rcode).toBe('NOERROR');
  });

  it('tells silence from answers that were not acceptable', async () => {
    const silent = await udpServer(() => undefined);
    expect(await failure(silent, { timeoutMs: 80 })).toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(/query for Example.com TXT to 127\.0\.0\.1 port \d+ had no answer over UDP/),
    });
    const babbling = await udpServer((_, send) => send(Buffer.from('junk')));
    expect((await failure(babbling, { timeoutMs: 1000 })).code).toBe('malformed');
    const wrong = await udpServer((request, send) => send(encodeMessage(answerTo(request, { id: request.id ^ 1 }))));
    expect((await failure(wrong, { timeoutMs: 1000 })).code).toBe('mismatch');
  });

  it('says when nobody listens', async () => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port } = socket.address();
    await new Promise<void>((resolve) => socket.close(resolve));
    expect(await failure(port, { transport: 'udp' })).toMatchObject({ code: 'refused', details: { transport: 'udp' } });
    expect(await failure(port, { transport: 'tcp' })).toMatchObject({
      code: 'refused',
      details: { sent: false, transport: 'tcp' },
    });
  });

  it('asks over TCP when the answer is cut, and leaves it cut when told to', async () => {
    const port = await tcpServer((request, connection) =>
      connection.write(frameMessage(encodeMessage(answerTo(request)))),
    );
    const socket = createSocket('udp4');
    cleanups.push(() => socket.close());
    socket.on('message', (bytes, peer) => {
      const cut = answerTo(decodeMessage(bytes), { answers: [] });
      socket.send(encodeMessage({ ...cut, flags: { ...cut.flags, tc: true } }), peer.port, peer.address);
    });
    socket.bind(port, '127.0.0.1');
    await once(socket, 'listening');
    expect(await ask(port)).toMatchObject({ transport: 'tcp', message: { answers: [{ type: 'TXT' }] } });
    expect(await ask(port, { transport: 'udp' })).toMatchObject({ transport: 'udp', message: { answers: [] } });
  });
});

describe('over TCP', () => {
  const tcp = { transport: 'tcp' } as const;

  it('reads an answer that comes byte by byte', async () => {
    const port = await tcpServer(async (request, connection) => {
      connection.setNoDelay(true);
      for (const octet of frameMessage(encodeMessage(answerTo(request)))) {
        connection.write(Uint8Array.of(octet));
        await new Promise(setImmediate);
      }
    });
    expect((await ask(port, tcp)).message.answers).toHaveLength(1);
  });

  it('sends by TCP at once what is too long for UDP', async () => {
    const port = await tcpServer((request, connection) =>
      connection.write(frameMessage(encodeMessage(answerTo(request)))),
    );
    const data = txtData('x'.repeat(1300));
    const long = createMessage({
      opcode: 'UPDATE',
      questions: [{ name: 'example.com', type: 'SOA', class: 'IN' }],
      authorities: [{ name: 'a.example.com', type: 'TXT', class: 'IN', ttl: 1, data }],
    });
    expect((await exchange(long, { address: '127.0.0.1', port })).transport).toBe('tcp');
  });

  it.each([
    ['closes without a word', 'closed', (_: Message, connection: Connection) => connection.end()],
    ['resets', 'closed', (_: Message, connection: Connection) => connection.resetAndDestroy()],
    ['promises more than it sends', 'closed', (_: Message, c: Connection) => c.end(Uint8Array.of(255, 255, 1, 2, 3))],
    ['closes within the length', 'closed', (_: Message, c: Connection) => c.end(Uint8Array.of(0))],
    ['sends an empty message', 'malformed', (_: Message, c: Connection) => c.write(Uint8Array.of(0, 0))],
    ['sends junk', 'malformed', (_: Message, c: Connection) => c.write('HTTP/1.1 400 Bad Request\r\n'.repeat(800))],
    [
      'answers another',
      'mismatch',
      (m: Message, c: Connection) => c.write(frameMessage(encodeMessage(answerTo(m, { id: m.id ^ 1 })))),
    ],
    ['falls silent', 'timeout', () => undefined],
  ] as const)('a server that %s: %s', async (_, code, reply) => {
    const port = await tcpServer((request, connection) => {
      reply(request, connection);
    });
    expect(await failure(port, { ...tcp, timeoutMs: code === 'timeout' ? 1000 : 20_000 })).toMatchObject({
      code,
      details: { sent: true },
    });
  });

  it('speaks IPv6, and says where there is none', async () => {
    if (!hasIpv6) {
      const outcome = exchange(query, { address: '::1', port: 1, transport: 'tcp' });
      return expect(outcome).rejects.toMatchObject({ code: 'unreachable' });
    }
    const port = await tcpServer(
      (request, connection) => connection.write(frameMessage(encodeMessage(answerTo(request)))),
      { host: '::1' },
    );
    const answered = await exchange(query, { address: '::1', port, transport: 'tcp' });
    expect(answered.message.rcode).toBe('NOERROR');
  });
});

describe('an exchange that is called off', () => {
  it.each(['udp', 'tcp'] as const)('ends at once over %s', async (transport) => {
    const port = transport === 'udp' ? await udpServer(() => undefined) : await tcpServer(() => undefined);
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 20);
    expect((await failure(port, { transport, signal: abort.signal })).code).toBe('aborted');
    expect(await failure(port, { transport, signal: abort.signal })).toMatchObject({
      code: 'aborted',
      details: { sent: false },
    });
  });
});

describe('a signed exchange', () => {
  const key: TsigKey = { name: 'key', algorithm: 'hmac-sha256', secret: new Uint8Array(32).fill(1) };
  const now = (): number => 1_800_000_000;
  const macOf = (request: Message): Uint8Array => {
    const tsig = request.additionals.at(-1)?.data;
    return tsig?.kind === 'TSIG' ? tsig.mac : new Uint8Array();
  };

  it('waits over UDP for the answer that is signed', async () => {
    const port = await udpServer((request, send) => {
      const forged = encodeMessage(answerTo(request, { rcode: 'REFUSED', answers: [] }));
      send(forged);
      send(signTsig(forged, { ...key, secret: new Uint8Array(32) }, { time: now(), requestMac: macOf(request) }).bytes);
      send(signTsig(encodeMessage(answerTo(request)), key, { time: now(), requestMac: macOf(request) }).bytes);
    });
    const answered = await ask(port, { tsig: { key, now } });
    expect(answered).toMatchObject({ message: { rcode: 'NOERROR' }, verification: { status: 'ok' } });
  });

  it('fails with what was wrong, and shows the answer that nobody vouches for', async () => {
    const port = await tcpServer((request, connection) =>
      connection.write(frameMessage(encodeMessage(answerTo(request, { rcode: 'REFUSED' })))),
    );
    expect(await failure(port, { transport: 'tcp', tsig: { key, now } })).toMatchObject({
      code: 'tsig',
      details: { verification: { status: 'missing' }, answer: { rcode: 'REFUSED' } },
    });
  });

  it('refuses an answer to an earlier request', async () => {
    let first: Uint8Array | undefined;
    const port = await tcpServer((request, connection) => {
      first ??= macOf(request);
      connection.write(
        frameMessage(signTsig(encodeMessage(answerTo(request)), key, { time: now(), requestMac: first }).bytes),
      );
    });
    const signed = { transport: 'tcp', tsig: { key, now } } as const;
    expect((await ask(port, signed)).message.rcode).toBe('NOERROR');
    // The same second and the same question, but another id.
    expect(await failure(port, signed)).toMatchObject({
      code: 'tsig',
      details: { verification: { status: 'BADSIG' } },
    });
  });
});

describe('a zone transfer', () => {
  const soa = {
    name: 'example.com',
    type: 'SOA',
    class: 'IN',
    ttl: 60,
    data: { kind: 'SOA', mname: 'a', rname: 'b', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 1 },
  } as const;
  const txt = { name: 'a.example.com', type: 'TXT', class: 'IN', ttl: 60, data: txtData('v') } as const;

  it.each([
    ['is cut off', [[soa, txt]], 'closed'],
    ['does not begin with the SOA', [[txt, soa]], 'malformed'],
  ] as const)('that %s is none', async (_, messages, code) => {
    const port = await tcpServer((request, connection) => {
      for (const answers of messages) connection.write(frameMessage(encodeMessage(answerTo(request, { answers }))));
      connection.end();
    });
    await expect(transferZone('example.com', { address: '127.0.0.1', port })).rejects.toMatchObject({ code });
  });

  it('is all records up to the second SOA, over however many messages', async () => {
    const port = await tcpServer((request, connection) => {
      for (const answers of [[soa], [txt, txt], [txt, soa]]) {
        connection.write(frameMessage(encodeMessage(answerTo(request, { answers, questions: [] }))));
      }
    });
    expect(await transferZone('example.com', { address: '127.0.0.1', port })).toEqual([soa, txt, txt, txt]);
  });

  it.each([
    ['signed to its end', true],
    ['not signed at its end', false],
  ])('that is %s: taken is %s', async (_, signedToTheEnd) => {
    const key: TsigKey = { name: 'key', algorithm: 'hmac-sha256', secret: new Uint8Array(32) };
    const port = await tcpServer((request, connection) => {
      const tsig = request.additionals.at(-1)?.data;
      const requestMac = tsig?.kind === 'TSIG' ? tsig.mac : new Uint8Array();
      const [first, last] = [[soa, txt], [soa]].map((answers) => encodeMessage(answerTo(request, { answers })));
      if (first === undefined || last === undefined) return;
      const signed = signTsig(first, key, { time: 1000, requestMac });
      const end = signTsig(last, key, { time: 1000, requestMac: signed.mac, timersOnly: true });
      connection.write(frameMessage(signed.bytes));
      connection.write(frameMessage(signedToTheEnd ? end.bytes : last));
    });
    const transfer = transferZone('example.com', { address: '127.0.0.1', port, tsig: { key, now: () => 1000 } });
    if (signedToTheEnd) expect(await transfer).toEqual([soa, txt]);
    else await expect(transfer).rejects.toMatchObject({ code: 'tsig' });
  });
});
