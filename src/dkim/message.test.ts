import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BodyHasher } from './body-hash.ts';
import { type MessageHeader, readMessage, splitMessage } from './message.ts';

function split(text: string) {
  const { headers, body, defects } = splitMessage(Buffer.from(text, 'latin1'));
  return {
    headers: headers.map(({ name, raw }) => [name, Buffer.from(raw).toString('latin1')]),
    body: Buffer.from(body).toString('latin1'),
    defects,
  };
}

async function read(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, limit?: number) {
  const body: Uint8Array[] = [];
  let begun: MessageHeader | undefined;
  const result = await readMessage(
    chunks,
    (header) => {
      begun = header;
      return (chunk) => body.push(Uint8Array.from(chunk));
    },
    limit,
  );
  return { result, begun, body: Buffer.concat(body) };
}

describe('a message in memory', () => {
  test('has fields with their folds, and a body', () => {
    expect(split('A: 1\r\nB:\r\n 2\r\n\t3 \r\nc-d :x\r\n\r\nbody\r\n\r\n')).toEqual({
      headers: [
        ['A', 'A: 1'],
        ['B', 'B:\r\n 2\r\n\t3 '],
        ['c-d', 'c-d :x'],
      ],
      body: 'body\r\n\r\n',
      defects: [],
    });
  });

  test('may have LF alone', () => {
    expect(split('A: 1\n 2\nB: 3\n\nx\n')).toEqual({
      headers: [
        ['A', 'A: 1\n 2'],
        ['B', 'B: 3'],
      ],
      body: 'x\n',
      defects: [{ kind: 'bare-lf' }],
    });
  });

  test.each([
    ['', { headers: [], body: '', defects: [{ kind: 'no-body' }] }],
    ['\r\nbody', { headers: [], body: 'body', defects: [] }],
    ['A: 1', { headers: [['A', 'A: 1']], body: '', defects: [{ kind: 'no-body' }] }],
    ['A: 1\r\n', { headers: [['A', 'A: 1']], body: '', defects: [{ kind: 'no-body' }] }],
    ['A: 1\r\n\r\n', { headers: [['A', 'A: 1']], body: '', defects: [] }],
    ['A:\0\xff\r\n\r\n\0', { headers: [['A', 'A:\0\xff']], body: '\0', defects: [] }],
    ['A: 1\rB: 2\r\n\r\n', { headers: [['A', 'A: 1\rB: 2']], body: '', defects: [] }],
    [
      'A: 1\r\nno field\r\nB: 2\r\n\r\n',
      { headers: [['A', 'A: 1']], body: 'no field\r\nB: 2\r\n\r\n', defects: [{ kind: 'not-a-field', line: 2 }] },
    ],
    [' A: 1\r\n\r\n', { headers: [], body: ' A: 1\r\n\r\n', defects: [{ kind: 'not-a-field', line: 1 }] }],
    ['\xe9: 1\r\n\r\n', { headers: [], body: '\xe9: 1\r\n\r\n', defects: [{ kind: 'not-a-field', line: 1 }] }],
    ['From a@b Thu\r\nA: 1\r\n\r\nx', { headers: [['A', 'A: 1']], body: 'x', defects: [{ kind: 'mailbox-line' }] }],
  ])('%j', (text, wanted) => {
    expect(split(text)).toEqual(wanted);
  });
});

describe('a message that comes in chunks', () => {
  test('is split as if it were whole, wherever the chunks end', async () => {
    const unit = fc.constantFrom(
      'A: 1',
      'From: x',
      '\r\n',
      '\n',
      '\r',
      ' ',
      '\t',
      ':',
      'text',
      '\0',
      '\xe9',
      '\r\n\r\n',
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(unit, { maxLength: 25 }),
        fc.array(fc.nat({ max: 7 }), { maxLength: 30 }),
        async (units, sizes) => {
          const octets = Buffer.from(units.join(''), 'latin1');
          const chunks: Buffer[] = [];
          let start = 0;
          for (const size of sizes) {
            chunks.push(octets.subarray(start, start + size));
            start += size;
          }
          chunks.push(octets.subarray(start));
          const whole = splitMessage(octets);
          const { result, begun, body } = await read(chunks);
          expect(body.equals(Buffer.from(whole.body))).toBe(true);
          expect(result).toMatchObject({ ok: true, bodyBytes: whole.body.length, defects: whole.defects });
          const plain = (header: MessageHeader | undefined) =>
            header?.headers.map(({ name, raw }) => [name, Buffer.from(raw).toString('latin1')]);
          expect(plain(begun)).toEqual(plain(whole));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('may have 10,000 fields, given octet by octet', async () => {
    const octets = Buffer.from(`${Array.from({ length: 10_000 }, (_, n) => `X-${n}: ${n}\r\n`).join('')}\r\nbody`);
    const { begun, body } = await read(Array.from(octets, (octet) => Uint8Array.of(octet)));
    expect(begun?.headers).toHaveLength(10_000);
    expect(begun?.headers.at(-1)?.name).toBe('X-9999');
    expect(body.toString()).toBe('body');
  });

  test('without an end of its header is given up at the limit', async () => {
    function* endless(): Generator<Uint8Array> {
      for (;;) yield Buffer.from(`X: ${'y'.repeat(10_000)}\r\n`);
    }
    const { result, begun } = await read(endless(), 100_000);
    expect(result).toEqual({ ok: false, reason: 'header-too-large', limit: 100_000 });
    expect(begun).toBeUndefined();
  });

  test('of 100 MB is hashed without being kept', async () => {
    const chunk = Buffer.from('A line of some text, over and over again.\r\n'.repeat(1500));
    const count = Math.ceil((100 * 1024 * 1024) / chunk.length);
    async function* stream(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('From: a@example.com\r\n\r\n');
      for (let i = 0; i < count; i++) yield chunk;
    }
    const hasher = new BodyHasher(['relaxed']);
    const before = process.memoryUsage().arrayBuffers;
    const result = await readMessage(stream(), () => (piece) => hasher.update(piece));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
    expect(result).toMatchObject({ ok: true, bodyBytes: count * chunk.length });
    expect(hasher.finish().bytes).toBe(count * chunk.length);
  });
});
