/** Test messages through a milter's own socket, as an MTA would hand them in. They go nowhere. */
import { BodyHasher } from '../../dkim/body-hash.ts';
import { connectMilter } from '../milter/client.ts';
import { testMessage } from '../milter/signer.ts';
import type { Probe, Probed } from './probe.ts';

export interface MilterProbeOptions {
  /** `inet:HOST:PORT` or `unix:PATH`. */
  readonly socket: string;
  /** The client that the message is said to come from: one whose mail the milter signs. */
  readonly client: string;
  /** Milliseconds. */
  readonly timeout: number;
}

export function milterProbe({ socket, client: clientAddress, timeout }: MilterProbeOptions): Probe {
  return { send };

  async function send(domain: string, from: string): Promise<Probed> {
    const message = { ...testMessage(domain, from), clientAddress };
    try {
      // A connection of its own for each: milters keep the configuration that a connection began with.
      using client = await connectMilter(socket, undefined, timeout);
      const { verdict, reply, added } = await client.deliver(message);
      client.quit();
      if (verdict !== 'accepted') {
        const answer = reply ?? verdict;
        return {
          kind: 'failed',
          message: `A test message from ${from} through ${socket} was answered with "${answer}"; its log says why.`,
        };
      }
      const hasher = new BodyHasher(['relaxed', 'simple']);
      hasher.update(message.body);
      return {
        kind: 'came-back',
        headers: message.headers.map(([name, value]) => ({
          name,
          raw: Buffer.from(`${name}:${value.toString()}`, 'latin1'),
        })),
        body: hasher.finish(),
        signatures: added
          .filter(({ name }) => name.toLowerCase() === 'dkim-signature')
          .map(({ name, value }) => `${name}:${value}`),
      };
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      return {
        kind: 'failed',
        message: `A test message could not be sent: ${said}. Is it running, and may this user open its socket?`,
      };
    }
  }
}
