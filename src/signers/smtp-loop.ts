/**
 * Test messages that go round: handed to the mail server by SMTP, routed by it back to a listener of ours, and judged as they arrive. What
 * signs on the way out is tested as real mail is, whatever program it is.
 */
import { randomUUID } from 'node:crypto';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { type Probe, type Probed, probeMessage, readProbed } from './files/probe.ts';

export interface SmtpLoopOptions {
  /** Where the mail server takes mail from this machine. */
  readonly submit: { readonly host: string; readonly port: number };
  /** Where its route for the recipient leads: our listener. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly recipient: string;
  /** How long a message may take to come round, milliseconds. */
  readonly timeout: number;
  readonly now: () => number;
}

export interface SmtpLoop extends Probe {
  /** The port that is listened on; opens the listener where it is not open. */
  open(): Promise<number>;
  close(): Promise<void>;
}

const mark = 'X-Keyturn-Test';
const mostBytes = 1024 * 1024;
const mostConnections = 50;

export function createSmtpLoop({ submit, listen, recipient, timeout, now }: SmtpLoopOptions): SmtpLoop {
  const awaited = new Map<string, (message: Buffer) => void>();
  const sockets = new Set<Socket>();
  let listening: Promise<Server> | null = null;

  function arrived(message: Buffer): void {
    const token = new RegExp(`^${mark}: ([0-9a-f-]+)\\r?$`, 'm').exec(message.toString('latin1'))?.[1];
    if (token !== undefined) awaited.get(token)?.(message);
  }

  function listenOnce(): Promise<Server> {
    listening ??= new Promise<Server>((resolve, reject) => {
      const server = createServer((socket) => {
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
        receive(socket, arrived, timeout);
      });
      server.maxConnections = mostConnections;
      server.once('error', (error) => {
        // Whoever holds the port may go: the next message tries again.
        listening = null;
        reject(error);
      });
      server.listen(listen.port, listen.host, () => resolve(server));
    });
    return listening;
  }

  async function send(domain: string, from: string): Promise<Probed> {
    const failed = (message: string): Probed => ({ kind: 'failed', message });
    const where = `${listen.host}:${listen.port}`;
    try {
      await listenOnce();
    } catch (error) {
      return failed(
        `Test messages cannot come back: listening on ${where} failed: ${textOf(error)}. Choose another port in the signer's test settings.`,
      );
    }
    const token = randomUUID();
    const back = Promise.withResolvers<Buffer | null>();
    awaited.set(token, back.resolve);
    const timer = setTimeout(() => back.resolve(null), timeout);
    try {
      const date = new Date(now()).toUTCString().replace('GMT', '+0000');
      const message = probeMessage(domain, from, {
        [mark]: token,
        Date: date,
        'Message-ID': `<${token}@${domain}>`,
        To: recipient,
      });
      await submitMessage({ ...submit, from, to: recipient, message, timeout });
      const came = await back.promise;
      if (came !== null) return readProbed(came);
      return failed(
        `A test message to ${recipient} was taken by ${submit.host}:${submit.port} and did not come back within ${timeout} ms. Is ${recipient} routed to ${where}? The mail server's log says what became of it.`,
      );
    } catch (error) {
      return failed(`A test message could not be handed to ${submit.host}:${submit.port}: ${textOf(error)}.`);
    } finally {
      clearTimeout(timer);
      awaited.delete(token);
    }
  }

  return {
    send,
    open: async () => ((await listenOnce()).address() as AddressInfo).port,
    async close() {
      const server = await listening?.catch(() => null);
      for (const socket of sockets) socket.destroy();
      if (server !== undefined && server !== null) await new Promise((resolve) => server.close(resolve));
      listening = null;
    },
  };
}

/** Takes one message after another (RFC 5321), and keeps none. */
function receive(socket: Socket, arrived: (message: Buffer) => void, timeout: number): void {
  let pending = Buffer.alloc(0);
  let inData = false;
  const reply = (line: string) => void socket.write(`${line}\r\n`);
  socket.setTimeout(Math.max(timeout, 10_000), () => socket.destroy());
  socket.on('error', () => socket.destroy());
  reply('220 keyturn test listener');
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    if (pending.length > mostBytes) return void socket.destroy();
    for (;;) {
      const end = pending.indexOf(inData ? '\r\n.\r\n' : '\r\n');
      if (end < 0) return;
      if (inData) {
        const message = pending.toString('latin1', 0, end + 2).replaceAll(/(^|\r\n)\.\./g, '$1.');
        pending = pending.subarray(end + 5);
        inData = false;
        arrived(Buffer.from(message, 'latin1'));
        reply('250 seen');
        continue;
      }
      const verb = pending.toString('latin1', 0, Math.min(end, 4)).toUpperCase();
      pending = pending.subarray(end + 2);
      if (verb === 'DATA') {
        inData = true;
        reply('354 go on');
      } else if (verb === 'QUIT') {
        reply('221 bye');
        socket.end();
      } else reply(['EHLO', 'HELO', 'MAIL', 'RCPT', 'RSET', 'NOOP'].includes(verb) ? '250 ok' : '502 not known here');
    }
  });
}

export interface Submission {
  readonly host: string;
  readonly port: number;
  readonly from: string;
  readonly to: string;
  readonly message: Buffer;
  readonly timeout: number;
}

/** @throws Error with the server's reply where it is not taken. */
export async function submitMessage({ host, port, from, to, message, timeout }: Submission): Promise<void> {
  const socket = connect({ host, port });
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => undefined);
  socket.setTimeout(timeout, () => socket.destroy(new Error(`no answer within ${timeout} ms`)));
  socket.once('error', ended.reject);
  socket.once('close', () => ended.reject(new Error('it closed the connection')));
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  try {
    const expect = async (what: string, first: string): Promise<void> => {
      for (;;) {
        const { value, done } = await Promise.race([lines.next(), ended.promise]);
        if (done === true) throw new Error(`it closed the connection instead of answering ${what}`);
        const line = String(value);
        if (line[3] === '-') continue;
        if (!line.startsWith(first)) throw new Error(`it answered ${what} with "${line}"`);
        return;
      }
    };
    await expect('the connection', '2');
    const say = async (line: string, first = '2'): Promise<void> => {
      socket.write(`${line}\r\n`);
      await expect(line.slice(0, 60), first);
    };
    await say('EHLO keyturn.invalid');
    await say(`MAIL FROM:<${from}>`);
    await say(`RCPT TO:<${to}>`);
    await say('DATA', '3');
    const stuffed = message.toString('latin1').replaceAll(/^\./gm, '..');
    socket.write(Buffer.from(stuffed, 'latin1'));
    await say('.');
    socket.write('QUIT\r\n');
  } finally {
    socket.destroy();
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
