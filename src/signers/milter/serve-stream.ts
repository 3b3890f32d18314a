/** Puts a byte stream, the frame reader and a session together. */
import type { Duplex } from 'node:stream';
import type { MilterCore } from './core.ts';
import { FrameReader, type ReadResult } from './frames.ts';
import { MilterSession } from './session.ts';

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
      read(() => reader.resume());
      if (stream.isPaused() && !stream.writableNeedDrain && !reader.isHolding) stream.resume();
    },
  });
  const reader = new FrameReader(session);
  /** What goes wrong on one connection must not end the others. */
  const read = (step: () => ReadResult): void => {
    let why = '';
    try {
      if (step() !== 'malformed') return;
      why = `a frame of ${reader.malformedLength} octets, which is no milter's`;
      core.metrics.counters.protocolErrors += 1;
    } catch (error) {
      why = `reading it failed: ${error instanceof Error ? error.message : String(error)}`;
    }
    core.log('warn', `Connection of ${name} closed: ${why}`);
    stream.destroy();
  };
  stream.on('data', (chunk: Buffer) => {
    read(() => reader.push(chunk));
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
