/**
 * A rotation as it happens: `keyturn serve` with its own DNS and one signer of the configuration, mail through a real mail server all the while, and every message
 * that arrives judged at once by dkimpy and Mail::DKIM, which ask that DNS.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { submitMessage } from '../../src/signers/smtp-loop.ts';
import { writeFastConfig } from '../control/fast-config.ts';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { type RunningServer, waitFor } from '../support/processes.ts';
import { type SmtpSink, startSmtpSink } from '../support/smtp-sink.ts';
import type { TempDir } from '../support/temp.ts';
import { startDkimpy, startMailDkim, type Verifier } from '../support/verifiers.ts';

export const zone = 'example.test';

export interface Tally {
  arrived: number;
  unsigned: number;
  /** `verifier selector algorithm: what it said`, each once. */
  readonly failures: Set<string>;
  /** Selectors that every verifier who knows their algorithm has passed. */
  readonly passed: Map<string, number>;
  /** Messages with fewer signatures that pass than there should be. */
  short: number;
  /** Times that the mail server said "later". */
  putOff: number;
}

export interface ShownKey {
  readonly id: string;
  readonly selector: string;
  readonly state: string;
}

export interface Flow extends AsyncDisposable {
  readonly sink: SmtpSink;
  readonly tally: Tally;
  readonly server: RunningServer;
  keys(state: string): Promise<string[]>;
  /** Adds the domain, and waits for its first keys to sign and their successors to stand by. */
  begin(active: number, standby: number): Promise<void>;
  /** Asks for a rotation. */
  rotate(): Promise<void>;
  /** Sends to this port, one message after another, until `done` answers true; answers how many were taken. */
  send(port: number, done: () => boolean): Promise<number>;
  /** Waits until so many messages have arrived and been judged. */
  settle(taken: number): Promise<void>;
}

/** @param options.signatures how many signatures each message should have */
export async function startFlow(options: {
  readonly dir: TempDir;
  readonly signer: Readonly<Record<string, unknown>>;
  readonly policy: Readonly<Record<string, unknown>>;
  readonly signatures: number;
  readonly onMessage?: () => void;
}): Promise<Flow> {
  const { dir, signer, policy, signatures } = options;
  await using stack = new AsyncDisposableStack();
  const config = await writeFastConfig(dir, zone, {
    roles: { milter: false },
    signers: [{ name: 'mta', ...signer }],
    policies: {
      default: {
        ...{ rotateEvery: '1h', jitter: 0, lead: '1s', standby: 1, overlap: '3s', tombstone: '1s' },
        ...{ ttl: '1s', ttlAhead: '1s', proofFresh: '3s', watchEvery: '3s' },
        ...policy,
      },
    },
    reconcile: { interval: '200ms', inspectEvery: '1s' },
  });
  const verifiers = [startDkimpy(config.dnsPort), startMailDkim(config.dnsPort)].map((each) => stack.use(each));
  const tally: Tally = { arrived: 0, unsigned: 0, failures: new Set(), passed: new Map(), short: 0, putOff: 0 };
  let broken: unknown = null;
  const sink = stack.use(
    await startSmtpSink(({ bytes }) => {
      judge(bytes, verifiers, signatures, tally).catch((error) => {
        broken = error;
      });
    }),
  );
  const server = stack.use(
    await startKeyturn(['serve'], { cwd: dir.path, ready: (output) => output().includes('"ready"') }),
  );
  const keys = async (state: string): Promise<string[]> => {
    const shown = await keyturnJson<{ keys: readonly ShownKey[] }>(['domain', 'show', zone], { cwd: dir.path });
    return shown.keys.filter((key) => key.state === state).map(({ selector }) => selector);
  };
  const command = async (...args: string[]): Promise<void> => {
    const { code, stderr, stdout } = await keyturn(args, { cwd: dir.path });
    if (code !== 0) throw new Error(`keyturn ${args.join(' ')}: ${stderr}${stdout}`);
  };
  const owned = stack.move();
  return {
    sink,
    tally,
    server,
    keys,
    async begin(active, standby) {
      await command('domain', 'add', zone);
      await waitFor(
        async () => (await keys('active')).length === active && (await keys('standby')).length === standby,
        {
          within: 30_000,
          every: 250,
          what: `the first keys; ${server.output().slice(-2000)}`,
        },
      );
    },
    rotate: () => command('key', 'rotate', zone),
    async send(port, done) {
      let taken = 0;
      while (!done()) {
        const message = Buffer.from(
          [
            `From: Sender <a@${zone}>`,
            'To: b@sink.test',
            `Subject: message ${taken}`,
            `Date: ${new Date().toUTCString().replace('GMT', '+0000')}`,
            `Message-ID: <${taken}.${Date.now()}@${zone}>`,
            '',
            'One of many.',
            '',
          ].join('\r\n'),
        );
        try {
          const to = { host: '127.0.0.1', port, from: `a@${zone}`, to: 'b@sink.test', timeout: 20_000 };
          await submitMessage({ ...to, message });
          taken += 1;
        } catch (error) {
          // As any client does, it keeps the message and tries again.
          if (!/"4\d\d|closed the connection/.test(String(error))) throw error;
          tally.putOff += 1;
          await sleep(100);
        }
        await waitFor(() => tally.arrived + 20 > taken, { within: 30_000, what: 'the verifiers to keep up' });
        await sleep(40);
      }
      return taken;
    },
    async settle(taken) {
      await waitFor(() => tally.arrived >= taken || broken !== null, { within: 30_000, what: `${taken} messages` });
      if (broken !== null) throw broken;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function judge(message: Buffer, verifiers: readonly Verifier[], wanted: number, tally: Tally): Promise<void> {
  const verdicts = await Promise.all(
    verifiers.map(async (verifier) => ({
      name: verifier.name,
      // Mail::DKIM before 1.20240619, and so Debian 12's, does not know Ed25519 (RFC 8463).
      signatures: (await verifier.verify(message)).filter(
        ({ algorithm }) => verifier.name !== 'Mail::DKIM' || algorithm !== 'ed25519-sha256',
      ),
    })),
  );
  const passed = new Set<string>();
  for (const { name, signatures } of verdicts) {
    if (signatures.length === 0) tally.unsigned += 1;
    for (const { selector, algorithm, passed: good, detail } of signatures) {
      if (good) passed.add(selector);
      else tally.failures.add(`${name} ${selector} ${algorithm}: ${detail}`);
    }
  }
  if (passed.size < wanted) tally.short += 1;
  for (const selector of passed) tally.passed.set(selector, (tally.passed.get(selector) ?? 0) + 1);
  tally.arrived += 1;
}
