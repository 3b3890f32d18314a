/** Puts a byte stream, the frame reader and a session together. */
import type { Duplex } from 'node:stream';
import { FrameReader, type ReadResult } from './frames.ts';
import { type MilterCore, MilterSession } from './session.ts';

/** `end` closes the stream once what was written has left; the stream's own `end` where it is not given. */
export function serveStream(
  stream: Duplex,
  name: string,
  core: MilterCore,
  end: () => void = () => void stream.end(),
): MilterSession {
  const session = new MilterSession(core, {
    name,
    write(data) {
      // An MTA that does not read its answers is not read either.
      if (!stream.write(data)) stream.pause();
    },
    end,
    resume() {
      if (stream.destroyed) return;
      check(reader.resume());
      if (stream.isPaused() && !stream.writableNeedDrain && !reader.isHolding) stream.resume();
    },
  });
  const reader = new FrameReader(session);
  const check = (result: ReadResult): void => {
    if (result !== 'malformed') return;
    core.metrics.counters.protocolErrors += 1;
    core.log('warn', `Connection of ${name} closed: a frame of ${reader.malformedLength} octets, which is no milter's`);
    stream.destroy();
  };
  stream.on('data', (chunk: Buffer) => {
    check(reader.push(chunk));
    // While a signature is made the MTA waits for us; one that sends on is left to wait as well.
    if (reader.isHolding) stream.pause();
  });
  stream.on('drain', () => {
    if (!reader.isHolding) stream.resume();
  });
  stream.on('error', () => stream.destroy());
  stream.on('close', () => session.closed());
  return session;
}
