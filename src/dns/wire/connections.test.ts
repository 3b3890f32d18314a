import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createConnections } from './connections.ts';
import { createMessage, decodeMessage, encodeMessage, type Message } from './message.ts';
import { frameMessage, StreamReader } from './stream.ts';
import { TransportError } from './transport-error.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A server that hands each request to `answer` with a way to reply, whenever it likes. */
async function serve(answer: (request: Message, reply: () => void, socket: Socket) => void) {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    cleanups.push(() => socket.destroy());
    socket.on('error', () => undefined);
    const reader = new StreamReader();
    socket.on('data', (chunk) => {
      for (const bytes of reader.push(chunk)) {
        const request = decodeMessage(bytes);
        const { id, questions } = request;
        const reply = () =>
          socket.write(frameMessage(encodeMessage(createMessage({ id, questions, flags: { qr: true } }))));
        answer(request, reply, socket);
      }
    });
  });
  cleanups.push(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    address: '127.0.0.1',
    port: typeof address === 'object' && address !== null ? address.port : 0,
    connections: () => connections,
  };
}

const ask = (name: string) => createMessage({ questions: [{ name, type: 'TXT', class: 'IN' }] });
const asked = ({ questions }: Message) => questions[0]?.name;

describe('kept connections', () => {
  it('carry many requests at once, answered in any order', async () => {
    const held: (() => void)[] = [];
    const at = await serve((_, reply) => {
      held.push(reply);
      if (held.length === 6) for (const late of held.reverse()) late();
    });
    const connections = createConnections({ perServer: 1 });
    cleanups.push(() => connections.close());
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const answers = await Promise.all(names.map((name) => connections.exchange(ask(name), at)));
    expect(answers.map(({ message }) => asked(message))).toEqual(names);
    expect(at.connections()).toBe(1);
  });

  it('are given up after a time without requests, and when the server closes them', async () => {
    const closed: Promise<unknown>[] = [];
    const at = await serve((request, reply, socket) => {
      closed.push(once(socket, 'close'));
      reply();
      if (asked(request) === 'last') socket.end();
    });
    const connections = createConnections({ idleMs: 20 });
    cleanups.push(() => connections.close());
    await connections.exchange(ask('a'), at);
    await Promise.all(closed);
    await connections.exchange(ask('last'), at);
    await Promise.all(closed);
    await connections.exchange(ask('b'), at);
    expect(at.connections()).toBe(3);
  });

  it('tell whether the server may never have seen the request', async () => {
    const at = await serve((request, reply, socket) => {
      if (asked(request) === 'cut') socket.destroy();
      else reply();
    });
    const connections = createConnections({ perServer: 1 });
    cleanups.push(() => connections.close());
    const failure = async () => {
      try {
        await connections.exchange(ask('cut'), at);
        return null;
      } catch (error) {
        return error instanceof TransportError ? [error.code, error.details.sent, error.details.reused] : error;
      }
    };
    expect(await failure()).toEqual(['closed', true, undefined]);
    await connections.exchange(ask('a'), at);
    expect(await failure()).toEqual(['closed', true, true]);
  });

  it('are not used again where one request had no answer; the others on them are', async () => {
    const late: (() => void)[] = [];
    const at = await serve((request, reply) => {
      if (asked(request) === 'never') return;
      if (asked(request) === 'late') late.push(reply);
      else reply();
    });
    const connections = createConnections({ perServer: 1 });
    cleanups.push(() => connections.close());
    const waiting = connections.exchange(ask('late'), at);
    await expect(connections.exchange(ask('never'), { ...at, timeoutMs: 30 })).rejects.toMatchObject({
      code: 'timeout',
    });
    await connections.exchange(ask('a'), at);
    expect(at.connections()).toBe(2);
    for (const reply of late) reply();
    expect(asked((await waiting).message)).toBe('late');
  });
});
