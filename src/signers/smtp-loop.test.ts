import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { createSmtpLoop, type SmtpLoop, submitMessage } from './smtp-loop.ts';

const recipient = 'test@loop.test';
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A mail server in small: `relay` gets what it has taken. */
async function mailServer(
  relay: (message: string) => void,
  refuse?: { readonly verb: string; readonly reply: string },
) {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    let text = '';
    let inData = false;
    socket.on('error', () => undefined);
    socket.write('220-first\r\n220 ready\r\n');
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (
        let end = text.indexOf(inData ? '\r\n.\r\n' : '\r\n');
        end >= 0;
        end = text.indexOf(inData ? '\r\n.\r\n' : '\r\n')
      ) {
        const part = text.slice(0, end);
        text = text.slice(end + (inData ? 5 : 2));
        if (inData) relay(`${part}\r\n`.replaceAll(/^\.\./gm, '.'));
        const said = refuse !== undefined && part.startsWith(refuse.verb) ? refuse.reply : null;
        socket.write(`${said ?? (!inData && part === 'DATA' ? '354 go on' : '250 ok')}\r\n`);
        inData = !inData && said === null && part === 'DATA';
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function loopFor(port: number, listenPort = 0, timeout = 2000): SmtpLoop {
  const loop = createSmtpLoop({
    submit: { host: '127.0.0.1', port },
    listen: { host: '127.0.0.1', port: listenPort },
    recipient,
    timeout,
    now: () => Date.UTC(2026, 0, 1),
  });
  closers.push(() => loop.close());
  return loop;
}

describe('a test message that goes round', () => {
  test('comes back whole, each to whom it belongs, dots and all', async () => {
    let back = 0;
    const port = await mailServer((message) => {
      const to = { host: '127.0.0.1', port: back, from: 'a@a.test', to: recipient, timeout: 2000 };
      const signed = Buffer.from(`DKIM-Signature: v=1; d=x\r\n${message}.dot\r\n`, 'latin1');
      submitMessage({ ...to, message: signed }).catch(() => undefined);
    });
    const loop = loopFor(port);
    back = await loop.open();
    const domains = ['a.test', 'b.test', 'c.test'];
    const probed = await Promise.all(domains.map((domain) => loop.send(domain, `postmaster@${domain}`)));
    for (const [index, each] of probed.entries()) {
      if (each.kind !== 'came-back') throw new Error(each.message);
      expect(each.signatures).toEqual(['DKIM-Signature: v=1; d=x']);
      const from = each.headers.find(({ name }) => name === 'From');
      expect(Buffer.from(from?.raw ?? []).toString()).toContain(`postmaster@${domains[index]}`);
    }
  });

  test('that is lost on the way says where it was to come', async () => {
    const loop = loopFor(await mailServer(() => undefined), 0, 200);
    expect(await loop.send('a.test', 'a@a.test')).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining(`did not come back within 200 ms. Is ${recipient} routed to`),
    });
  });

  test('that is refused says what the server said', async () => {
    const port = await mailServer(() => undefined, { verb: 'RCPT', reply: '550 no such user' });
    expect(await loopFor(port).send('a.test', 'a@a.test')).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('"550 no such user"'),
    });
  });

  test('a port that somebody else holds is named, and taken once it is free', async () => {
    const holder = createServer();
    holder.listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port: held } = holder.address() as AddressInfo;
    const loop = loopFor(await mailServer(() => undefined), held, 100);
    const taken = await loop.send('a.test', 'a@a.test');
    expect(taken).toMatchObject({ kind: 'failed', message: expect.stringContaining(`127.0.0.1:${held}`) });
    await new Promise((resolve) => holder.close(resolve));
    expect(await loop.open()).toBe(held);
  });
});
