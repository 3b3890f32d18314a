import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Command } from './codes.ts';
import { decodeStrings, encodeFrame, encodeStrings, FrameReader, maxFrameLength, type ReadResult } from './frames.ts';

/** Reads chunks; gives the frames, bodies put together, and what the last read came to. */
function readAll(chunks: readonly Uint8Array[], pauseEvery = 0): { frames: string[]; result: ReadResult } {
  const frames: string[] = [];
  let body = '';
  const paused = (): boolean => pauseEvery === 0 || frames.length % pauseEvery !== 0;
  const reader = new FrameReader({
    frame(command, data) {
      frames.push(`${String.fromCharCode(command)}${data.toString('latin1')}`);
      return paused();
    },
    body(piece) {
      body += piece.toString('latin1');
    },
    bodyEnd() {
      frames.push(`B${body}`);
      body = '';
      return paused();
    },
  });
  let result: ReadResult = 'hungry';
  for (const chunk of chunks) {
    result = reader.push(Buffer.from(chunk));
    while (result === 'paused') result = reader.resume();
    if (result === 'malformed') break;
  }
  return { frames, result };
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end));
}

const anyFrame = fc.record({
  command: fc.constantFrom(...Object.values(Command)),
  data: fc.uint8Array({ maxLength: 300 }),
});

describe('frames', () => {
  it('come out as they went in, however the stream is cut and wherever the reader is paused', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 20 }),
        fc.array(fc.nat(), { maxLength: 30 }),
        fc.nat(3),
        (frames, places, pauseEvery) => {
          const bytes = Buffer.concat(frames.map(({ command, data }) => encodeFrame(command, data)));
          const read = readAll(cut(bytes, places), pauseEvery);
          expect(read.frames).toEqual(
            frames.map(({ command, data }) => `${String.fromCharCode(command)}${Buffer.from(data).toString('latin1')}`),
          );
          expect(read.result).toBe('hungry');
        },
      ),
    );
  });

  it('cut into single octets come out whole', () => {
    const bytes = Buffer.concat([
      encodeFrame(Command.header, encodeStrings('A', ' b')),
      encodeFrame(Command.body, Buffer.from('xy')),
    ]);
    expect(readAll([...bytes].map((octet) => Buffer.from([octet]))).frames).toEqual(['LA\0 b\0', 'Bxy']);
  });

  it('of a length that none may have end the stream, as soon as the length is known', () => {
    for (const length of [0, maxFrameLength + 1, 0x7fff_ffff, 0xffff_ffff]) {
      const head = Buffer.alloc(5, 0x4c);
      head.writeUInt32BE(length);
      expect(readAll([head]).result).toBe('malformed');
      expect(readAll([head.subarray(0, 2), head.subarray(2)]).result).toBe('malformed');
    }
  });

  it('are made of any octets without a crash', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (chunks) => {
        expect(['hungry', 'malformed']).toContain(readAll(chunks).result);
      }),
    );
  });

  it('of strings are read with and without the final NUL', () => {
    expect(decodeStrings(encodeStrings('a', '', 'b'))).toEqual(['a', '', 'b']);
    expect(decodeStrings(Buffer.from('a\0b'))).toEqual(['a', 'b']);
    expect(decodeStrings(Buffer.alloc(0))).toEqual([]);
  });

  it('says that it holds something only when something came after the frame it paused at', () => {
    const reader = new FrameReader({ frame: () => false, body: () => undefined, bodyEnd: () => true });
    reader.push(encodeFrame(Command.quit));
    expect(reader.isHolding).toBe(false);
    reader.push(Buffer.from([0]));
    expect(reader.isHolding).toBe(true);
  });
});
