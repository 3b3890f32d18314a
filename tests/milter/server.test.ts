/** The milter's sockets: who gets in, what hostile bytes do, how it ends. */
import { lstatSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { connectMilter, postfixOffer } from '../../src/signers/milter/client.ts';
import { clientSegments, messageSegments } from '../../src/signers/milter/client-frames.ts';
import { Command } from '../../src/signers/milter/codes.ts';
import { encodeFrame } from '../../src/signers/milter/frames.ts';
import { encodeOffer } from '../../src/signers/milter/negotiate.ts';
import { startMilter } from '../../src/signers/milter/server.ts';
import { waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { keyring, makeKey, message, runningMilter } from './support.ts';

const rsa = makeKey('r1', 'rsa-sha256');
const ed25519 = makeKey('e1', 'ed25519-sha256');
const example = keyring('example.com', 1, [ed25519]);

/** A bare connection; `closed` resolves once the milter ended it. */
function bare(socketName: string): { socket: Socket; closed: Promise<void> } {
  const [, host = '', port = ''] = /^inet:(.*):(\d+)$/.exec(socketName) ?? [];
  const socket = connect({ host, port: Number(port) });
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()));
  socket.resume();
  return { socket, closed };
}

/** Octets that are reachable: what is left once the garbage, and the buffers that hung on it, are collected. */
async function memoryInUse(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect !== 'function') throw new Error('this Node does not let its garbage be collected');
  for (let i = 0; i < 3; i++) {
    collect();
    await setImmediate();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const hello = encodeFrame(Command.negotiate, encodeOffer(postfixOffer));

describe('who may connect', () => {
  it('are the addresses of the list alone', async () => {
    await using milter = await runningMilter([example], { allow: ['192.0.2.0/24'] });
    await expect(connectMilter(milter.socket)).rejects.toThrow('does it allow this address?');
    expect(milter.server.metrics.counters.refusedConnections).toBe(1);
    expect(milter.log.join()).toMatch(/127\.0\.0\.1:\d+ refused: its address/);
  });

  it('are no more than the limit, until one leaves', async () => {
    await using milter = await runningMilter([example], { maxConnections: 2 });
    using first = await connectMilter(milter.socket);
    using second = await connectMilter(milter.socket);
    await expect(connectMilter(milter.socket)).rejects.toThrow();
    expect(await second.deliver(message('joe@example.com'))).toMatchObject({ added: [{}] });
    first.quit();
    await waitFor(() => milter.server.metrics.counters.openConnections === 1, { what: 'the first to leave' });
    using third = await connectMilter(milter.socket);
    expect(third.agreed.version).toBe(6);
  });

  it('lose the connection when nothing comes for the time allowed', async () => {
    await using milter = await runningMilter([example], { idleTimeout: 50 });
    const { closed } = bare(milter.socket);
    await closed;
    expect(milter.server.metrics.counters.timeouts).toBe(1);
  });
});

describe('what is not the protocol', () => {
  it.each<[string, Buffer]>([
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['an enormous frame', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x4f])],
    ['an empty frame', Buffer.alloc(8)],
    ['a message without a negotiation', encodeFrame(Command.mail, Buffer.from('<a@example.com>\0'))],
    ['a body without a negotiation', encodeFrame(Command.body, Buffer.from('x'))],
    ['a negotiation cut short', encodeFrame(Command.negotiate, Buffer.alloc(11))],
    ['a command nobody knows', Buffer.concat([hello, encodeFrame(0x7a)])],
    ['a CONNECT without an end', Buffer.concat([hello, encodeFrame(Command.connect, Buffer.from('host'))])],
    [
      'a header field without a name',
      Buffer.concat([
        hello,
        ...clientSegments(null, 0).map(({ bytes }) => bytes),
        encodeFrame(Command.mail, Buffer.from('<a@example.com>\0')),
        encodeFrame(Command.header, Buffer.from('\0\0')),
      ]),
    ],
  ])('such as %s closes the connection with a line in the log', async (_what, bytes) => {
    await using milter = await runningMilter([example]);
    const { socket, closed } = bare(milter.socket);
    socket.write(bytes);
    await closed;
    expect(milter.server.metrics.counters.protocolErrors).toBe(1);
    expect(milter.log.join('\n')).toMatch(/warn: Connection of 127\.0\.0\.1:\d+ closed: /);
    using next = await connectMilter(milter.socket);
    expect(await next.deliver(message('joe@example.com'))).toMatchObject({ added: [{}] });
  });

  it('never harms other connections, whatever the bytes and however they are cut', async () => {
    await using milter = await runningMilter([example]);
    using good = await connectMilter(milter.socket);
    const command = fc.constantFrom(...Object.values(Command), 0, 0x7a);
    const frame = fc.tuple(command, fc.uint8Array({ maxLength: 100 })).map(([code, data]) => encodeFrame(code, data));
    const whole = fc.constant(
      Buffer.concat(
        [...clientSegments('127.0.0.1', 0), ...messageSegments(message('joe@example.com'), 0)].map(
          ({ bytes }) => bytes,
        ),
      ),
    );
    const junk = fc.uint8Array({ maxLength: 50 }).map((octets) => Buffer.from(octets));
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(
          fc.oneof({ weight: 5, arbitrary: frame }, { weight: 1, arbitrary: whole }, { weight: 1, arbitrary: junk }),
          { maxLength: 12 },
        ),
        fc.array(fc.nat(), { maxLength: 6 }),
        async (greets, parts, cuts) => {
          const bytes = Buffer.concat([...(greets ? [hello] : []), ...parts]);
          const { socket, closed } = bare(milter.socket);
          const places = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
          let from = 0;
          for (const to of places) {
            socket.write(bytes.subarray(from, to));
            from = to;
          }
          socket.end();
          await closed;
        },
      ),
      { numRuns: 150 },
    );
    expect(await good.deliver(message('joe@example.com'))).toMatchObject({ added: [{ name: 'DKIM-Signature' }] });
    await waitFor(() => milter.server.metrics.counters.openConnections === 1, { what: 'the others to be gone' });
  });

  it('such as a flood of messages that nobody waits for is answered one by one, in memory that stays small', async () => {
    await using milter = await runningMilter([example]);
    const { socket } = bare(milter.socket);
    socket.removeAllListeners('data');
    socket.pause();
    const one = Buffer.concat(messageSegments(message('joe@example.com'), 0).map(({ bytes }) => bytes));
    const flood = Buffer.concat([
      hello,
      ...clientSegments('127.0.0.1', 0).map(({ bytes }) => bytes),
      ...Array.from({ length: 500 }, () => one),
    ]);
    socket.write(flood);
    socket.resume();
    await waitFor(() => milter.server.metrics.counters.signed === 500, { what: '500 signatures' });
    socket.destroy();
  });
});

describe('a body of 100 MB', () => {
  it('is signed in memory that does not grow with it', async () => {
    await using milter = await runningMilter([example]);
    using client = await connectMilter(milter.socket);
    await client.connectClient('127.0.0.1');
    const empty = messageSegments(message('joe@example.com', ''), client.agreed.steps);
    const frames = Buffer.concat(empty.map(({ bytes }) => bytes));
    client.write(frames.subarray(0, frames.length - 5));
    const piece = encodeFrame(
      Command.body,
      Buffer.alloc(65_535, 'A line of seventy octets or so, as they are found in mail.\r\n'),
    );
    const pieces = Math.ceil(100_000_000 / 65_535);
    const kept: number[] = [];
    for (let i = 0; i < pieces; i++) {
      await client.writeFully(piece);
      if (i % 500 === 100) kept.push(await memoryInUse());
    }
    client.write(frames.subarray(frames.length - 5));
    expect((await client.next())?.data.toString('latin1')).toContain('s=e1;');
    expect(kept.length).toBeGreaterThan(2);
    expect(Math.max(...kept) - (kept[0] ?? 0)).toBeLessThan(5_000_000);
  });
});

describe('a UNIX socket', () => {
  it('has the mode that was asked for, and is gone at the end', async () => {
    using dir = tempDir('milter');
    const path = dir.join('m.sock');
    const milter = await runningMilter([example], { listen: [`unix:${path}`], socketMode: 0o600 });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    using client = await connectMilter(milter.socket);
    expect(await client.deliver(message('joe@example.com'))).toMatchObject({ added: [{}] });
    client.quit();
    await milter.server.stop();
    expect(() => lstatSync(path)).toThrow('ENOENT');
  });

  it('that is stale is replaced; one that is in use, or no socket, is not', async () => {
    using dir = tempDir('milter');
    const path = dir.join('m.sock');
    // A socket whose process died is what remains when its file is moved away from under it and back.
    const dead = createServer();
    await new Promise<void>((resolve) => void dead.listen(dir.join('other.sock'), () => resolve()));
    renameSync(dir.join('other.sock'), path);
    await new Promise((resolve) => dead.close(resolve));
    expect(lstatSync(path).isSocket()).toBe(true);

    await using first = await runningMilter([example], { listen: [`unix:${path}`] });
    await expect(runningMilter([example], { listen: [`unix:${path}`] })).rejects.toThrow(
      'another process listens there',
    );
    using client = await connectMilter(first.socket);
    expect(client.agreed.version).toBe(6);

    const file = dir.join('file');
    writeFileSync(file, 'precious');
    await expect(runningMilter([example], { listen: [`unix:${file}`] })).rejects.toThrow('not a socket');
    expect(statSync(file).size).toBe(8);
    const long = dir.join('x'.repeat(120));
    await expect(runningMilter([example], { listen: [`unix:${long}`] })).rejects.toThrow('octets at most');
  });

  it('of a successor is left alone by the one that ends', async () => {
    using dir = tempDir('milter');
    const path = dir.join('m.sock');
    const first = await runningMilter([example], { listen: [`unix:${path}`] });
    renameSync(path, dir.join('old.sock'));
    await using second = await runningMilter([example], { listen: [`unix:${path}`] });
    await first.server.stop(0);
    using client = await connectMilter(second.socket);
    expect(await client.deliver(message('joe@example.com'))).toMatchObject({ added: [{}] });
  });
});

describe('a start that fails', () => {
  it('names the socket, and leaves none open', async () => {
    await using milter = await runningMilter([example]);
    const taken = milter.socket;
    using dir = tempDir('milter');
    const path = dir.join('m.sock');
    const options = { listen: [`unix:${path}`, taken], keyrings: milter.book };
    await expect(startMilter(options)).rejects.toThrow(`Listening on ${taken}: `);
    expect(() => lstatSync(path)).toThrow('ENOENT');
    await expect(startMilter({ ...options, listen: [] })).rejects.toThrow('at least one socket');
  });
});

describe('stopping', () => {
  it('lets a message on its way finish, and takes no new connection', async () => {
    const milter = await runningMilter([keyring('example.com', 1, [rsa])]);
    using client = await connectMilter(milter.socket);
    using idle = await connectMilter(milter.socket);
    await client.connectClient('127.0.0.1');
    const frames = Buffer.concat(
      messageSegments(message('joe@example.com'), client.agreed.steps).map(({ bytes }) => bytes),
    );
    client.write(frames.subarray(0, 100));
    // MAIL has certainly arrived once something that comes after it on another connection was answered.
    await idle.deliver(message('joe@example.com'));
    const stopped = milter.server.stop(20_000);
    expect(await idle.next()).toBeNull();
    await expect(connectMilter(milter.socket)).rejects.toThrow();
    client.write(frames.subarray(100));
    expect((await client.next())?.data.toString('latin1')).toContain('DKIM-Signature');
    expect((await client.next())?.command).toBe(0x63);
    expect(await client.next()).toBeNull();
    await stopped;
    expect(milter.server.metrics.counters.signed).toBe(2);
  });

  it('answers the message on its way, and nothing that was sent behind it', async () => {
    const milter = await runningMilter([keyring('example.com', 1, [rsa])]);
    using client = await connectMilter(milter.socket);
    await client.connectClient('127.0.0.1');
    const frames = messageSegments(message('joe@example.com'), client.agreed.steps).map(({ bytes }) => bytes);
    client.write(Buffer.concat([...frames, ...frames, ...frames]));
    await waitFor(() => milter.server.metrics.counters.messages > 0, { every: 0, what: 'the first to be signed' });
    await milter.server.stop(20_000);
    const { signed, openConnections, protocolErrors } = milter.server.metrics.counters;
    expect(signed).toBeGreaterThan(0);
    expect(signed).toBeLessThanOrEqual(3);
    expect({ openConnections, protocolErrors }).toEqual({ openConnections: 0, protocolErrors: 0 });
    for (let i = 0; i < signed; i++) {
      expect((await client.next())?.data.toString('latin1')).toContain('DKIM-Signature');
      expect((await client.next())?.command).toBe(0x63);
    }
    expect(await client.next()).toBeNull();
  });

  it('does not wait longer than it was told for one that never ends', async () => {
    const milter = await runningMilter([example]);
    using client = await connectMilter(milter.socket);
    await client.connectClient('127.0.0.1');
    const frames = Buffer.concat(
      messageSegments(message('joe@example.com'), client.agreed.steps).map(({ bytes }) => bytes),
    );
    client.write(frames.subarray(0, 100));
    using other = await connectMilter(milter.socket);
    await other.deliver(message('joe@example.com'));
    await milter.server.stop(50);
    expect(await client.next()).toBeNull();
  });
});
