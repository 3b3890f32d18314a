/** The RFC 2136 publisher with servers that lie, lag or are the wrong ones. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createMessage,
  decodeMessage,
  encodeMessage,
  type Message,
  type ResourceRecord,
  txtData,
} from '../wire/message.ts';
import { frameMessage, StreamReader } from '../wire/stream.ts';
import { signTsig, type TsigKey } from '../wire/tsig.ts';
import type { Publisher } from './publisher.ts';
import { createRfc2136Publisher } from './rfc2136.ts';

const key: TsigKey = { name: 'key', algorithm: 'hmac-sha256', secret: new Uint8Array(32).fill(3) };
const name = 's1._domainkey.example.com';
const change = { name, desired: { value: 'new', ttl: 60 }, ours: ['old'] };
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

type Reply = Partial<Omit<Message, 'flags'>> & { readonly flags?: Partial<Message['flags']> };

/** A server on the loopback address that answers as told, with authority, and signs what answers a signed request. */
async function publisherAt(reply: (request: Message) => Reply): Promise<Publisher> {
  const server = createServer((socket) => {
    cleanups.push(() => socket.destroy());
    const reader = new StreamReader();
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      for (const bytes of reader.push(chunk)) {
        const request = decodeMessage(bytes);
        const { id, opcode, questions } = request;
        const parts = reply(request);
        const answer = createMessage({
          id,
          opcode,
          questions,
          ...parts,
          flags: { qr: true, aa: true, ...parts.flags },
        });
        const tsig = request.additionals.at(-1)?.data;
        const plain = encodeMessage(answer);
        const time = { time: 1000 };
        const out = tsig?.kind === 'TSIG' ? signTsig(plain, key, { ...time, requestMac: tsig.mac }).bytes : plain;
        socket.write(frameMessage(out));
      }
    });
  });
  cleanups.push(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return createRfc2136Publisher(
    { servers: [{ address: '127.0.0.1', port }], key, zone: 'example.com', timeoutMs: 20_000 },
    { clock: { now: () => 1_000_000 }, resolveHost: async (host) => [host] },
  );
}

const txt = (value: string, ttl = 60): ResourceRecord => ({
  name,
  type: 'TXT',
  class: 'IN',
  ttl,
  data: txtData(value),
});

describe('the rfc2136 publisher', () => {
  it('does not believe a server that accepts and does nothing', async () => {
    let updates = 0;
    const publisher = await publisherAt(({ opcode }) => {
      if (opcode === 'UPDATE') updates++;
      return opcode === 'UPDATE' ? {} : { answers: [txt('old', 3600)] };
    });
    expect(await publisher.apply(change)).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/accepted, but changed nothing: the server still shows "old" with TTL 3600/),
    });
    expect(updates).toBe(1);
  });

  it('waits for a server whose answers lag behind its zone', async () => {
    let looks = 0;
    const publisher = await publisherAt(({ opcode }) =>
      opcode === 'UPDATE' ? {} : { answers: [++looks > 3 ? txt('new') : txt('old')] },
    );
    expect(await publisher.apply(change)).toEqual({ kind: 'done' });
  });

  it('gives up where others write faster', async () => {
    let updates = 0;
    const publisher = await publisherAt(({ opcode }) => {
      if (opcode === 'UPDATE') updates++;
      return opcode === 'UPDATE' ? { rcode: 'NXRRSET' } : { answers: [txt('old')] };
    });
    expect(await publisher.apply(change)).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/overtaken by other changes 4 times/),
    });
    expect(updates).toBe(4);
  });

  it.each<[string, Reply, string, RegExp]>([
    ['a resolver', { flags: { aa: false, ra: true } }, 'refused', /does not answer with authority/],
    [
      'the parent of a delegated zone',
      {
        flags: { aa: false },
        authorities: [
          {
            name: '_domainkey.example.com',
            type: 'NS',
            class: 'IN',
            ttl: 60,
            data: { kind: 'NS', target: 'ns.example' },
          },
        ],
      },
      'refused',
      /given _domainkey\.example\.com away/,
    ],
    ['a server that does not serve the zone', { rcode: 'REFUSED' }, 'refused', /answers REFUSED/],
    ['a server in trouble', { rcode: 'SERVFAIL' }, 'failed', /answers SERVFAIL/],
  ])('sends no update to %s', async (_, reply, kind, message) => {
    const seen: unknown[] = [];
    const publisher = await publisherAt(({ opcode }) => {
      seen.push(opcode);
      return reply;
    });
    expect(await publisher.apply(change)).toMatchObject({ kind, message: expect.stringMatching(message) });
    expect(seen).toEqual(['QUERY']);
  });

  it('refuses what no server takes without asking one', async () => {
    const publisher = await publisherAt(() => {
      throw new Error('it was asked');
    });
    const long = { ...change, desired: { value: 'x'.repeat(33_000), ttl: 60 } };
    expect(await publisher.apply(long)).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('33000 bytes'),
    });
  });
});
