/** The milter over its socket, judged by mailauth. */
import { describe, expect, it } from 'vitest';
import { checkMilter } from '../../src/signers/milter/check.ts';
import { connectMilter, postfixOffer } from '../../src/signers/milter/client.ts';
import { type ClientMessage, messageSegments } from '../../src/signers/milter/client-frames.ts';
import { Action, Step } from '../../src/signers/milter/codes.ts';
import { createMilterSigner } from '../../src/signers/milter/signer.ts';
import { asSent, keyring, makeKey, message, runningMilter, verdicts } from './support.ts';

const rsa = makeKey('r1', 'rsa-sha256');
const ed25519 = makeKey('e1', 'ed25519-sha256');
const other = makeKey('e2', 'ed25519-sha256');
const example = keyring('example.com', 1, [rsa, ed25519]);

async function signed(sent: ClientMessage, offer = postfixOffer, sign = {}): Promise<string[]> {
  await using milter = await runningMilter([example], { sign });
  using client = await connectMilter(milter.socket, offer);
  const outcome = await client.deliver(sent);
  const found = await verdicts(asSent(sent, outcome), [example]);
  return found.map(({ selector, algorithm, result }) => `${selector} ${algorithm} ${result}`);
}

const both = ['r1 rsa-sha256 pass', 'e1 ed25519-sha256 pass'];

describe('a signed message', () => {
  it('carries a valid signature of every active key', async () => {
    expect(await signed(message('Joe <joe@example.com>'))).toEqual(both);
  });

  const simple = { canonicalization: { header: 'simple', body: 'simple' } } as const;
  it.each([
    ['that offers everything', postfixOffer],
    ['that waits for every answer', { ...postfixOffer, steps: Step.leadingSpace }],
    ['that takes the space after the colon away', { ...postfixOffer, steps: postfixOffer.steps & ~Step.leadingSpace }],
    ['of version 2', { version: 2, actions: Action.addHeaders, steps: 0x7f }],
  ])('verifies with an MTA %s, relaxed and simple', async (_what, offer) => {
    const sent = message('joe@example.com', 'Two  spaces \r\n\r\nand a line\r\n\r\n\r\n', {
      headers: [...message('joe@example.com').headers.slice(1), ['X-Odd', '   three spaces  ']],
    });
    expect(new Set(await signed(sent, offer))).toEqual(new Set(both));
    expect(new Set(await signed(sent, offer, simple))).toEqual(new Set(both));
  });

  it.each<[string, Partial<ClientMessage>]>([
    ['an empty body', { body: Buffer.alloc(0) }],
    ['a body of blank lines', { body: Buffer.from('\r\n\r\n\r\n') }],
    ['NUL and 8-bit octets in its body', { body: Buffer.from('a\0b\xff\xfe\r\n\x80\r\n', 'latin1') }],
    [
      '8-bit octets in its header',
      {
        headers: [
          ['From', ' J\xc3\xb6 <joe@example.com>'],
          ['Subject', ' Gr\xc3\xbc\xc3\x9fe \xff'],
        ],
      },
    ],
    ['a body of several frames', { body: Buffer.alloc(300_000, 'All work and no play.\r\n') }],
    [
      '10,000 header fields',
      {
        headers: [
          ...Array.from({ length: 10_000 }, (_, i): [string, string] => [`X-Field-${i}`, ` value ${i}`]),
          ['From', ' joe@example.com'],
        ],
      },
    ],
    [
      'a field of 100 KB',
      {
        headers: [
          ['From', ' joe@example.com'],
          ['Subject', ` ${'long '.repeat(20_000)}`],
        ],
      },
    ],
  ])('verifies with %s', async (_what, more) => {
    expect(await signed(message('joe@example.com', '', more))).toEqual(both);
  });
});

describe('a connection', () => {
  it('carries several messages, taken back ones among them, of several clients', async () => {
    await using milter = await runningMilter([example]);
    using client = await connectMilter(milter.socket);
    const sent = message('joe@example.com');
    for (let i = 0; i < 3; i++) {
      const outcome = await client.deliver(sent);
      expect((await verdicts(asSent(sent, outcome), [example])).map(({ result }) => result)).toEqual(['pass', 'pass']);
    }
    // A message whose body is cut off, by another author: nothing of it may reach the next.
    const half = message('eve@example.org', 'x'.repeat(1000));
    const frames = Buffer.concat(messageSegments(half, client.agreed.steps).map(({ bytes }) => bytes));
    client.write(frames.subarray(0, frames.length - 200));
    client.write(Buffer.alloc(200 - 5, 0x78));
    client.write(Buffer.from([0, 0, 0, 1, 0x41]));
    const after = await client.deliver(sent);
    expect((await verdicts(asSent(sent, after), [example])).map(({ result }) => result)).toEqual(['pass', 'pass']);
    // QUIT_NC: the next client is a stranger, and nothing of the last one's standing is left.
    client.write(Buffer.from([0, 0, 0, 1, 0x4b]));
    await client.connectClient('203.0.113.5');
    expect(await client.deliver(sent)).toMatchObject({ verdict: 'accepted', added: [] });
    expect(await client.deliver({ ...sent, user: 'joe' })).toMatchObject({ added: [{}, {}] });
    // The user of one message is not that of the next.
    expect(await client.deliver(sent)).toMatchObject({ added: [] });
  });

  it.each([null, '::1', '127.1.2.3'])('of the client %s on this machine is outbound', async (address) => {
    await using milter = await runningMilter([example]);
    using client = await connectMilter(milter.socket);
    await client.connectClient(address);
    expect(await client.deliver(message('joe@example.com'))).toMatchObject({ added: [{}, {}] });
  });

  it('signs the next message by the keyring that came since, with no reconnection', async () => {
    await using milter = await runningMilter([example]);
    using client = await connectMilter(milter.socket);
    const sent = message('joe@example.com');
    await client.deliver(sent);
    const signer = createMilterSigner({ id: 'milter', keyrings: milter.book, core: milter.server.core });
    const next = keyring('example.com', 2, [other]);
    expect(await signer.deliver(next)).toEqual({ kind: 'acknowledged', generation: 2 });
    const outcome = await client.deliver(sent);
    expect(await verdicts(asSent(sent, outcome), [next])).toEqual([
      { domain: 'example.com', selector: 'e2', algorithm: 'ed25519-sha256', result: 'pass' },
    ]);
    expect(await signer.deliver(example)).toEqual({ kind: 'acknowledged', generation: 2 });
  });

  it('signs by the keyring that is current when the message ends, also when it began under another', async () => {
    await using milter = await runningMilter([example]);
    using client = await connectMilter(milter.socket);
    const sent = message('joe@example.com', 'Some text.\r\n'.repeat(10));
    await client.connectClient('127.0.0.1');
    const frames = Buffer.concat(messageSegments(sent, client.agreed.steps).map(({ bytes }) => bytes));
    client.write(frames.subarray(0, frames.length - 5));
    await expect.poll(() => milter.server.metrics.counters.connections).toBe(1);
    milter.book.put(keyring('example.com', 2, [other]));
    client.write(frames.subarray(frames.length - 5));
    const inserted = await client.next();
    expect(inserted?.data.toString('latin1')).toContain('s=e2;');
    expect((await client.next())?.data).toHaveLength(0);
  });
});

describe('a message that is not signed', () => {
  const sent = message('joe@example.com');

  it.each([
    ['tempfail', 'tempfailed', '451 4.7.5 no active DKIM key for example.com; try again later'],
    ['reject', 'rejected', '550 5.7.5 no active DKIM key for example.com'],
    ['pass', 'accepted', null],
  ] as const)('though it must be is handled as %s says', async (onFailure, verdict, reply) => {
    await using milter = await runningMilter([keyring('example.com', 1, [])], { onFailure });
    using client = await connectMilter(milter.socket);
    expect(await client.deliver(sent)).toEqual({ verdict, reply, added: [] });
    expect(milter.server.metrics.counters.failed['no-keys']).toBe(1);
    expect(milter.log.join('\n')).toContain('TEST from');
    // The connection goes on.
    milter.book.put(keyring('example.com', 2, [ed25519]));
    expect(await client.deliver(sent)).toMatchObject({ verdict: 'accepted', added: [{ name: 'DKIM-Signature' }] });
  });

  it('is tempfailed when signing itself fails', async () => {
    await using milter = await runningMilter([keyring('example.com', 1, [{ ...rsa, algorithm: 'ed25519-sha256' }])]);
    using client = await connectMilter(milter.socket);
    expect(await client.deliver(sent)).toMatchObject({ verdict: 'tempfailed', added: [] });
    expect(milter.server.metrics.counters.failed['signing-failed']).toBe(1);
  });

  it('is tempfailed when its header is beyond the limit', async () => {
    await using milter = await runningMilter([example], { maxHeaderBytes: 20_000 });
    using client = await connectMilter(milter.socket);
    const big: ClientMessage = {
      ...sent,
      headers: [
        ...Array.from({ length: 500 }, (): [string, string] => ['X-Big', ` ${'x'.repeat(100)}`]),
        ...sent.headers,
      ],
    };
    expect(await client.deliver(big)).toMatchObject({ verdict: 'tempfailed' });
    expect(milter.server.metrics.counters.failed['header-too-large']).toBe(1);
    expect(
      await client.deliver({ ...big, headers: [...big.headers.slice(0, 500), ['From', ' a@example.org']] }),
    ).toMatchObject({
      verdict: 'accepted',
      added: [],
    });
  });

  it('is counted by its reason, and a domain that is being set up is shown', async () => {
    await using milter = await runningMilter([keyring('example.com', 1, [], { mustSign: false })]);
    using client = await connectMilter(milter.socket);
    await client.deliver(sent);
    await client.deliver(message('a@example.org'));
    await client.deliver({ ...sent, headers: [['To', ' x@example.net']] });
    expect(milter.server.metrics.counters.passed).toMatchObject({ 'setting-up': 1, 'not-ours': 1, 'no-from': 1 });
    expect([...milter.server.metrics.settingUp()]).toEqual([['example.com', 1]]);
    expect(milter.server.metrics.counters.messages).toBe(3);
  });

  it.each([postfixOffer, { ...postfixOffer, steps: 0 }])(
    'has its body let go where the MTA asks (%o)',
    async (offer) => {
      await using milter = await runningMilter([example], { answerHeaders: true });
      using client = await connectMilter(milter.socket, offer);
      const outcome = await client.deliver(message('a@example.org', 'x'.repeat(200_000)));
      expect(outcome).toEqual({ verdict: 'accepted', reply: null, added: [] });
      expect(await client.deliver(sent)).toMatchObject({ added: [{}, {}] });
    },
  );
});

describe('the milter as a signer', () => {
  it('tests its keys through its own path, and says why it cannot', async () => {
    await using milter = await runningMilter([
      keyring('example.com', 4, [rsa, ed25519], { streams: { default: [rsa], news: [ed25519] } }),
    ]);
    const signer = createMilterSigner({ id: 'm', keyrings: milter.book, core: milter.server.core });
    expect(await signer.selfTest('example.com', 'default', 'r1')).toEqual({ kind: 'signed' });
    expect(await signer.selfTest('example.com', 'news', 'e1')).toEqual({ kind: 'signed' });
    const missing = await signer.selfTest('example.com', 'default', 'e1');
    expect(missing).toMatchObject({ kind: 'failed', message: expect.stringContaining('e1._domainkey.example.com') });
    expect(await signer.selfTest('example.org', 'default', 'r1')).toMatchObject({ kind: 'failed' });
    // Its own test messages are no mail.
    expect(milter.server.metrics.counters.messages).toBe(0);
    await signer.forget('example.com');
    expect(await signer.selfTest('example.com', 'default', 'r1')).toMatchObject({ kind: 'failed' });
  });

  it('fails the test of a key that does not fit its algorithm', async () => {
    await using milter = await runningMilter([keyring('example.com', 1, [{ ...ed25519, algorithm: 'rsa-sha256' }])]);
    const signer = createMilterSigner({ id: 'm', keyrings: milter.book, core: milter.server.core });
    expect(await signer.selfTest('example.com', 'default', 'e1')).toMatchObject({ kind: 'failed' });
  });

  it('tells each signature seen once, with its time', async () => {
    let now = 1_800_000_000_000;
    await using milter = await runningMilter([example], { clock: { now: () => now } });
    const signer = createMilterSigner({ id: 'm', keyrings: milter.book, core: milter.server.core });
    using client = await connectMilter(milter.socket);
    await client.deliver(message('joe@example.com'));
    now += 5000;
    const outcome = await client.deliver(message('joe@example.com'));
    expect(outcome.added[0]?.value).toContain('t=1800000005;');
    expect(signer.takeSignaturesSeen?.()).toEqual([
      { domain: 'example.com', selector: 'r1', at: now, count: 2 },
      { domain: 'example.com', selector: 'e1', at: now, count: 2 },
    ]);
    expect(signer.takeSignaturesSeen?.()).toEqual([]);
    await client.deliver(message('joe@example.com'));
    expect(signer.takeSignaturesSeen?.()[0]?.count).toBe(1);
  });
});

describe('asking a milter what it does', () => {
  it('tells who signed with what', async () => {
    await using milter = await runningMilter([example]);
    expect(await checkMilter({ socket: milter.socket, from: 'joe@example.com' })).toEqual({
      kind: 'signed',
      signatures: [
        { domain: 'example.com', selector: 'r1', algorithm: 'rsa-sha256' },
        { domain: 'example.com', selector: 'e1', algorithm: 'ed25519-sha256' },
      ],
    });
    expect(await checkMilter({ socket: milter.socket, from: 'joe@example.org' })).toEqual({ kind: 'unsigned' });
    const stranger = { socket: milter.socket, from: 'joe@example.com', clientAddress: '203.0.113.1' };
    expect(await checkMilter(stranger)).toEqual({ kind: 'unsigned' });
    expect(await checkMilter({ ...stranger, user: 'joe' })).toMatchObject({ kind: 'signed' });
    milter.book.put(keyring('example.com', 2, []));
    expect(await checkMilter({ socket: milter.socket, from: 'joe@example.com' })).toMatchObject({
      kind: 'refused',
      verdict: 'tempfailed',
      reply: expect.stringContaining('example.com'),
    });
  });

  it('says which socket it could not reach', async () => {
    await expect(checkMilter({ socket: 'unix:/nonexistent/milter.sock', from: 'a@example.com' })).rejects.toThrow(
      'unix:/nonexistent/milter.sock',
    );
  });
});
