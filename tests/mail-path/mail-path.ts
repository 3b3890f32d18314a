/**
 * A whole mail path for tests: smtp-source and swaks → Postfix with a milter → a sink, where every message is verified on
 * arrival by three verifiers that are not ours, asking a real BIND.
 */
import { Resolver } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { startBind } from '../support/bind.ts';
import { type DnsServer, type PrimaryZone, type TsigKey, tsigKey } from '../support/dns-server.ts';
import { need, needRoot } from '../support/need.ts';
import { type PostfixServer, startPostfix } from '../support/postfix.ts';
import { type Finished, run, waitFor } from '../support/processes.ts';
import { type DeliveredMessage, startSmtpSink } from '../support/smtp-sink.ts';
import {
  needDkimpy,
  needMailDkim,
  type SignatureVerdict,
  startDkimpy,
  startMailDkim,
  type Verifier,
} from '../support/verifiers.ts';

/** Whether all of it is here. */
export function needMailPath(): boolean {
  return [
    need('named', 'bind9'),
    need('dig', 'bind9-dnsutils'),
    need('postfix', 'postfix'),
    need('smtp-source', 'postfix'),
    need('swaks', 'swaks'),
    needDkimpy(),
    needMailDkim(),
    needRoot('Postfix'),
  ].every(Boolean);
}

export const domain = 'example.test';

/** What was found out about the messages that came through. */
export interface Tally {
  delivered: number;
  /** Messages that were verified once more {@link laterBy} after their arrival, as by a receiver whose queue was long. */
  verifiedLater: number;
  unsigned: number;
  /** Verdicts without a signature of this algorithm that every verifier who knows it has passed. */
  withoutRsa: number;
  withoutEd25519: number;
  /** `verifier selector algorithm: what it said`, each once. */
  readonly failures: Set<string>;
  /** Signatures that passed, by `verifier selector`. */
  readonly passed: Map<string, number>;
}

export interface MailPath extends AsyncDisposable {
  readonly bind: DnsServer;
  readonly postfix: PostfixServer;
  /** May update the zone's `_domainkey` names. */
  readonly updateKey: TsigKey;
  readonly tally: Tally;
  /** The newest message as it arrived. */
  last(): DeliveredMessage | undefined;
  /** Starts the counts anew. */
  reset(): void;
  /** Sends one message with swaks and says what the client was told. */
  sendOne(args?: readonly string[]): Promise<Finished>;
  /** Sends in batches until `done` answers true, then waits for the last to be verified; answers how many were taken. */
  sendUntil(done: () => boolean): Promise<number>;
  /** Waits until everything that Postfix took has been delivered and verified. */
  settle(): Promise<void>;
}

/** The path for `example.test`; `milter` as in Postfix's `smtpd_milters`. */
export async function openMailPath(milter: string, zone: Partial<PrimaryZone> = {}): Promise<MailPath> {
  await using stack = new AsyncDisposableStack();
  const updateKey = tsigKey('keyturn', 'hmac-sha256');
  const bind = stack.use(
    await startBind({ zones: [{ apex: domain, update: [{ key: updateKey, scope: 'domainkeys' }], ...zone }] }),
  );
  const verifiers = [startDkimpy(bind.port), startMailDkim(bind.port), mailauth(bind.port)];
  for (const verifier of verifiers) stack.use(verifier);

  let tally = emptyTally();
  let last: DeliveredMessage | undefined;
  let verifying = 0;
  let waiting = 0;
  let taken = 0;
  let broken: Error | null = null;
  const fail = (error: unknown): void => {
    broken = error instanceof Error ? error : new Error(String(error));
  };
  const sink = stack.use(
    await startSmtpSink((message) => {
      last = message;
      const current = tally;
      const arrived = performance.now();
      verifying += 1;
      judge(message.bytes, verifiers)
        .then((verdict) => {
          current.delivered += 1;
          count(verdict, current);
        })
        .catch(fail)
        .finally(() => {
          verifying -= 1;
        });
      taken += 1;
      if (taken % laterEvery > 0) return;
      waiting += 1;
      sleep(laterBy)
        .then(() => judge(message.bytes, verifiers))
        .then((verdict) => {
          // On a busy machine the verdict may come when nothing is promised any more.
          if (performance.now() - arrived > promise) return;
          current.verifiedLater += 1;
          count(verdict, current);
        })
        .catch(fail)
        .finally(() => {
          waiting -= 1;
        });
    }),
  );
  const postfix = stack.use(await startPostfix({ milters: [milter], nextHop: sink.port }));
  const settle = async (): Promise<void> => {
    await waitFor(async () => (await postfix.queued()) === 0, { within: 30_000, what: 'Postfix to deliver its queue' });
    await waitFor(() => verifying + waiting === 0, { within: 30_000, what: 'the last messages to be verified' });
    if (broken !== null) throw broken;
  };
  const owned = stack.move();
  return {
    bind,
    postfix,
    updateKey,
    get tally() {
      return tally;
    },
    last: () => last,
    reset: () => {
      tally = emptyTally();
    },
    sendOne: (args = []) =>
      run('swaks', [
        ...['--server', '127.0.0.1', '--port', String(postfix.port), '--timeout', '20'],
        ...['--from', `swaks@${domain}`, '--to', 'reader@sink.test', '--header', 'Subject: one of many', ...args],
      ]),
    sendUntil: async (done) => {
      let taken = 0;
      while (!done()) {
        // Few at a time: what is tested is that every one is right, not how many there can be.
        const batch = await run('smtp-source', [
          ...['-d', '-s', '2', '-m', String(batchSize), '-l', String(500 + (taken % 7) * 900)],
          ...['-f', `source@${domain}`, '-t', 'reader@sink.test', '-S', 'steady', `127.0.0.1:${postfix.port}`],
        ]);
        if (batch.code !== 0) throw new Error(`Postfix refused mail: ${batch.stderr}\n${postfix.log().slice(-4000)}`);
        taken += batchSize;
        // Verifying costs more than sending: the sender waits for it, so that each verdict is of the moment of arrival.
        await waitFor(() => verifying < 2 * batchSize, { within: 30_000, what: 'the verifiers to keep up' });
        await sleep(60);
      }
      await settle();
      return taken;
    },
    settle,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const batchSize = 10;
/** Every so many messages are verified a second time, so many milliseconds later. */
const laterEvery = 4;
const laterBy = 3000;
/** For how many milliseconds after its arrival a message must verify: less than the overlap of the policies used here. */
const promise = 8000;

function emptyTally(): Tally {
  return {
    delivered: 0,
    verifiedLater: 0,
    unsigned: 0,
    withoutRsa: 0,
    withoutEd25519: 0,
    failures: new Set(),
    passed: new Map(),
  };
}

interface Verdict {
  readonly unsigned: boolean;
  readonly rsa: boolean;
  readonly ed25519: boolean;
  readonly signatures: readonly (SignatureVerdict & { readonly verifier: string })[];
}

async function judge(message: Buffer, verifiers: readonly Verifier[]): Promise<Verdict> {
  const ours = await Promise.all(
    verifiers.map(async (verifier) => ({
      verifier: verifier.name,
      signatures: (await verifier.verify(message)).filter(
        (signature) => signature.domain === domain && knows(verifier.name, signature),
      ),
    })),
  );
  const passesEverywhere = (algorithm: string): boolean =>
    ours
      .filter(({ verifier }) => knows(verifier, { algorithm }))
      .every(({ signatures }) => signatures.some((signature) => signature.algorithm === algorithm && signature.passed));
  return {
    unsigned: ours.some(({ signatures }) => signatures.length === 0),
    rsa: passesEverywhere('rsa-sha256'),
    ed25519: passesEverywhere('ed25519-sha256'),
    signatures: ours.flatMap(({ verifier, signatures }) => signatures.map((signature) => ({ ...signature, verifier }))),
  };
}

function count(verdict: Verdict, tally: Tally): void {
  if (verdict.unsigned) tally.unsigned += 1;
  if (!verdict.rsa) tally.withoutRsa += 1;
  if (!verdict.ed25519) tally.withoutEd25519 += 1;
  for (const { verifier, selector, algorithm, passed, detail } of verdict.signatures) {
    const name = `${verifier} ${selector}`;
    if (passed) tally.passed.set(name, (tally.passed.get(name) ?? 0) + 1);
    else tally.failures.add(`${name} ${algorithm}: ${detail}`);
  }
}

/** Mail::DKIM before 1.20240619, and so Debian 12's, does not know Ed25519 (RFC 8463). */
function knows(verifier: string, { algorithm }: Pick<SignatureVerdict, 'algorithm'>): boolean {
  return verifier !== 'Mail::DKIM' || algorithm !== 'ed25519-sha256';
}

/** mailauth in this process, asking the same name server. */
function mailauth(dnsPort: number): Verifier {
  const resolver = new Resolver({ timeout: 2000, tries: 3 });
  resolver.setServers([`127.0.0.1:${dnsPort}`]);
  const stop = (): Promise<void> => Promise.resolve(resolver.cancel());
  return {
    name: 'mailauth',
    verify: async (message) => {
      const { results } = await dkimVerify(Buffer.from(message), {
        resolver: (name: string) => resolver.resolveTxt(name),
      });
      return results.flatMap((result) =>
        'signingDomain' in result && result.signingDomain
          ? [
              {
                domain: result.signingDomain,
                selector: result.selector ?? '',
                algorithm: result.algo ?? '',
                passed: result.status.result === 'pass',
                detail: `${result.status.result} ${result.status.comment || ''}`,
              },
            ]
          : [],
      );
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
