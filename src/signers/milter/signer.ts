/** The built-in milter as a signer: it is in this process, so what it is given is loaded when the call returns. */
import { createPublicKey } from 'node:crypto';
import { duplexPair } from 'node:stream';
import { BodyHasher } from '../../dkim/body-hash.ts';
import type { HeaderField } from '../../dkim/types.ts';
import { verifyOwn } from '../../dkim/verify-own.ts';
import type { KeyringBook } from '../keyring-book.ts';
import type { SelfTest, Signer } from '../signer.ts';
import { type Outcome, speakMilter } from './client.ts';
import type { ClientMessage } from './client-frames.ts';
import type { MilterCore } from './core.ts';
import { silentLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { serveStream } from './serve-stream.ts';

/** `keyrings` must be what the milter of this core signs by. */
export function createMilterSigner(options: {
  readonly id: string;
  readonly keyrings: KeyringBook;
  readonly core: MilterCore;
}): Signer {
  const { id, keyrings, core } = options;
  return {
    id,
    kind: 'milter',
    async deliver(keyring) {
      const { generation } = keyrings.put(keyring);
      return { kind: 'acknowledged', generation };
    },
    async forget(domain) {
      keyrings.remove(domain);
    },
    selfTest: (domain, stream, selector) => selfTest(core, domain, stream, selector),
    takeSignaturesSeen: () => core.metrics.takeSignaturesSeen(),
  };
}

/**
 * Sends a message of the domain through a milter connection of its own, in memory: negotiation, frames, decision and
 * signing are those of real mail, only the choice of the stream is given. The signature is checked against the public
 * half of the key that is loaded.
 */
async function selfTest(core: MilterCore, domain: string, stream: string, selector: string): Promise<SelfTest> {
  const name = `${selector}._domainkey.${domain}`;
  const failed = (message: string): SelfTest => ({ kind: 'failed', message: `Testing ${name}: ${message}` });
  const entry = core.keyrings.find(domain);
  if (entry === undefined) return failed('the milter has no keyring of this domain');
  const key = entry.streams.get(stream)?.find((each) => each.selector === selector);
  if (key === undefined) {
    return failed(`generation ${entry.generation}, which is loaded, does not have it in the stream "${stream}"`);
  }
  const message = testMessage(domain);
  let outcome: Outcome;
  try {
    outcome = await throughMilter(core, stream, message);
  } catch (error) {
    return failed(error instanceof Error ? error.message : String(error));
  }
  if (outcome.verdict !== 'accepted') return failed(`the milter answered ${outcome.reply ?? outcome.verdict}`);
  const headers: HeaderField[] = message.headers.map(([header, value]) => ({
    name: header,
    raw: Buffer.from(`${header}:${value.toString()}`, 'latin1'),
  }));
  const hasher = new BodyHasher(['relaxed', 'simple']);
  hasher.update(message.body);
  const body = hasher.finish();
  const publicKey = createPublicKey(key.privateKey);
  const isValid = outcome.added.some(
    (added) =>
      added.name === 'DKIM-Signature' &&
      verifyOwn(headers, body, `${added.name}:${added.value}`, publicKey).kind === 'valid',
  );
  return isValid ? { kind: 'signed' } : failed('no signature of the test message verifies with its public key');
}

async function throughMilter(core: MilterCore, stream: string, message: ClientMessage): Promise<Outcome> {
  const [near, far] = duplexPair();
  // Its mail counts nowhere, and is outbound whatever networks are set.
  serveStream(far, 'the self-test', {
    ...core,
    settings: { ...core.settings, streams: { choose: () => stream } },
    metrics: createMetrics(),
    log: silentLog,
  });
  try {
    using client = await speakMilter(near, 'this process');
    return await client.deliver(message);
  } finally {
    far.destroy();
  }
}

/** A small message that names no real person; its client is local. */
export function testMessage(domain: string, from = `postmaster@${domain}`): ClientMessage {
  return {
    clientAddress: null,
    sender: from,
    recipients: [from],
    headers: [
      ['From', ` Keyturn test <${from}>`],
      ['To', ` ${from}`],
      ['Subject', ' Test of DKIM signing'],
      ['Date', ` ${new Date(0).toUTCString().replace('GMT', '+0000')}`],
      ['Message-ID', ` <keyturn-test@${domain}>`],
      ['MIME-Version', ' 1.0'],
      ['Content-Type', ' text/plain; charset=us-ascii'],
    ],
    body: Buffer.from('This message tests DKIM signing.  It goes nowhere.\r\n'),
  };
}
