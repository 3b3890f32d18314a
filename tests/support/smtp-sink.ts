/** A small SMTP server that takes every message and hands it on: the far end of a mail path. */
import { createServer, type Socket } from 'node:net';

export interface DeliveredMessage {
  readonly mailFrom: string;
  readonly recipients: readonly string[];
  /** The message as it came over the wire, CRLF line ends, dots unstuffed. */
  readonly bytes: Buffer;
}

export interface SmtpSink extends AsyncDisposable {
  readonly port: number;
  stop(): Promise<void>;
}

/** Starts the sink on a free port of 127.0.0.1; `onMessage` is called before the sender is told that its message was taken. */
export async function startSmtpSink(onMessage: (message: DeliveredMessage) => void): Promise<SmtpSink> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    serve(socket, onMessage);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  const stop = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

const END = Buffer.from('\r\n.\r\n');

function serve(socket: Socket, onMessage: (message: DeliveredMessage) => void): void {
  let pending: Buffer = Buffer.alloc(0);
  let mailFrom = '';
  let recipients: string[] = [];
  let inData = false;
  const reply = (line: string): void => {
    socket.write(`${line}\r\n`);
  };
  const command = (line: string): void => {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === 'EHLO') socket.write('250-sink.test\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 SIZE\r\n');
    else if (verb === 'HELO') reply('250 sink.test');
    else if (verb === 'MAIL') {
      mailFrom = address(line);
      recipients = [];
      reply('250 sender ok');
    } else if (verb === 'RCPT') {
      recipients.push(address(line));
      reply('250 recipient ok');
    } else if (verb === 'DATA') {
      inData = true;
      reply('354 go on');
    } else if (verb === 'RSET' || verb === 'NOOP') reply('250 ok');
    else if (verb === 'QUIT') {
      reply('221 bye');
      socket.end();
    } else reply('502 not known here');
  };
  reply('220 sink.test ESMTP');
  socket.on('data', (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      if (inData) {
        // An empty message ends with the dot at once; the CRLF before it then belongs to the DATA command.
        const atOnce = pending.subarray(0, 3).equals(Buffer.from('.\r\n'));
        const end = atOnce ? 0 : pending.indexOf(END);
        if (end < 0) return;
        const bytes = atOnce ? Buffer.alloc(0) : unstuff(pending.subarray(0, end + 2));
        pending = pending.subarray(atOnce ? 3 : end + END.length);
        inData = false;
        onMessage({ mailFrom, recipients, bytes });
        reply('250 taken');
        continue;
      }
      const end = pending.indexOf('\r\n');
      if (end < 0) return;
      const line = pending.toString('latin1', 0, end);
      pending = pending.subarray(end + 2);
      command(line);
    }
  });
}

function address(line: string): string {
  return /<([^>]*)>/.exec(line)?.[1] ?? '';
}

/** RFC 5321 section 4.5.2: a leading dot was doubled by the sender. */
function unstuff(data: Buffer): Buffer {
  const text = data.toString('latin1');
  return Buffer.from(text.replace(/^\.\./gm, '.'), 'latin1');
}
