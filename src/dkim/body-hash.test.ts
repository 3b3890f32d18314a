import { hash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BodyHasher, type BodyHashes } from './body-hash.ts';

/** The standard's words (RFC 6376 sections 3.4.3 and 3.4.4), on a whole body and with no eye on speed. */
function slowHashes(body: Buffer): BodyHashes {
  const lines = body.toString('latin1').replaceAll(/\r?\n/g, '\r\n').split('\r\n');
  const relaxedLines = lines.map((line) => line.replaceAll(/[ \t]+/g, ' ').replace(/ $/, ''));
  const joined = (all: string[], empty: string): string => {
    const kept = [...all];
    while (kept.at(-1) === '') kept.pop();
    return kept.length === 0 ? empty : kept.map((line) => `${line}\r\n`).join('');
  };
  const sha256 = (text: string): string => hash('sha256', Buffer.from(text, 'latin1'), 'base64');
  return { bytes: body.length, simple: sha256(joined(lines, '\r\n')), relaxed: sha256(joined(relaxedLines, '')) };
}

function hashes(chunks: Iterable<Uint8Array>): BodyHashes {
  const hasher = new BodyHasher(['simple', 'relaxed']);
  for (const chunk of chunks) hasher.update(chunk);
  return hasher.finish();
}

function* split(body: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  let start = 0;
  for (const size of sizes) {
    // Copied, so that a hasher that kept a view would see it overwritten.
    const chunk = Uint8Array.from(body.subarray(start, start + size));
    yield chunk;
    chunk.fill(0x58);
    start += size;
  }
  yield body.subarray(start);
}

const piece = fc.constantFrom(
  '\r\n',
  '\n',
  '\r',
  ' ',
  '\t',
  '  ',
  'a',
  'word',
  '\0',
  '\x0b',
  '\xe9',
  '=20',
  'a b c',
  '. ',
);
const body = fc
  .array(fc.oneof(piece, fc.string({ unit: 'binary', maxLength: 20 })), { maxLength: 40 })
  .map((pieces) => Buffer.from(pieces.join(''), 'latin1'));

test('any body in any chunks hashes as the standard says', () => {
  fc.assert(
    fc.property(body, fc.array(fc.nat({ max: 9 }), { maxLength: 30 }), (octets, sizes) => {
      expect(hashes(split(octets, sizes))).toEqual(slowHashes(octets));
    }),
    { numRuns: 20_000 },
  );
});

test('bodies longer than the inner slices hash the same, wherever a slice ends', () => {
  for (const filler of ['x', 'word ', 'a\r\n', '\r\n', '\n', '\r', ' \t', 'text  with\ttabs \r\n\r\n']) {
    const long = filler.repeat(Math.ceil(40_000 / filler.length));
    for (const shift of [0, 1, 2, 3]) {
      for (const end of ['', 'end', '\r\n', ' ', '\r']) {
        const octets = Buffer.from('y'.repeat(shift) + long + end, 'latin1');
        expect(hashes([octets])).toEqual(slowHashes(octets));
        expect(hashes([octets, Buffer.from('more')])).toEqual(slowHashes(Buffer.concat([octets, Buffer.from('more')])));
      }
    }
  }
});

test('only what is asked for is hashed', () => {
  const hasher = new BodyHasher(['relaxed', 'relaxed']);
  hasher.update(Buffer.from('x\r\n'));
  expect(Object.keys(hasher.finish()).sort()).toEqual(['bytes', 'relaxed']);
});

test('a bare LF ends a line as CRLF does, a bare CR is content', () => {
  expect(hashes([Buffer.from('a \nb\n\n')])).toMatchObject({ relaxed: hash('sha256', 'a\r\nb\r\n', 'base64') });
  expect(hashes([Buffer.from('a \rb\r\n')])).toMatchObject({ relaxed: hash('sha256', 'a \rb\r\n', 'base64') });
});

test('memory does not grow with the body, not even with empty lines that may turn out to be trailing', () => {
  const hasher = new BodyHasher(['simple', 'relaxed']);
  const emptyLines = Buffer.from(' \r\n'.repeat(20_000));
  const text = Buffer.from('a line of text\r\n'.repeat(4_000));
  hasher.update(emptyLines);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 500; i++) hasher.update(i % 2 === 0 ? emptyLines : text);
  const grown = process.memoryUsage().arrayBuffers - before;
  expect(hasher.finish().bytes).toBe(emptyLines.length * 251 + text.length * 250);
  expect(grown).toBeLessThan(4 * 1024 * 1024);
});
