/** Keyrings in memory, served to rspamd and others by a Vault-shaped endpoint: what is delivered signs the next message. */
import { createPublicKey } from 'node:crypto';
import { z } from 'zod';
import type { Keyring } from '../keyring.ts';
import { createKeyringBook } from '../keyring-book.ts';
import type { SignerDependencies } from '../kind.ts';
import { type Ed25519Form, rspamdKeyText } from '../rspamd-key-text.ts';
import { testReadBack } from '../rspamd-read-back.ts';
import type { RspamdProbe } from '../rspamd-test.ts';
import type { Delivery, SelfTest, Signer } from '../signer.ts';
import { createAnswers } from './answers.ts';
import { readOverHttp } from './client.ts';
import { createReaders, type Reader } from './readers.ts';
import {
  createCounters,
  startVaultServer,
  type VaultCounters,
  type VaultServer,
  type VaultServerOptions,
} from './server.ts';

export interface VaultSignerOptions extends VaultServerOptions {
  readonly readers: readonly Reader[];
  /** Path → stream. */
  readonly paths: ReadonlyMap<string, string>;
  readonly ed25519: Ed25519Form;
  readonly probe: RspamdProbe | null;
}

export interface VaultSigner extends Signer {
  /** With the ports that were really taken; empty before `load`. */
  endpoints(): readonly string[];
  readonly counters: Readonly<VaultCounters>;
  /** Per domain: how often its keys were asked for, and when last (epoch milliseconds). No proof of a signature, but of a rspamd that asks. */
  requests(): ReadonlyMap<string, { readonly count: number; readonly at: number }>;
}

/** @throws Error where tokens are too short or the same. */
export function createVaultSigner(
  options: VaultSignerOptions,
  { id, clock, log }: Pick<SignerDependencies, 'id' | 'clock' | 'log'>,
): VaultSigner {
  const { paths, ed25519, probe } = options;
  const book = createKeyringBook();
  const answers = createAnswers(book, ed25519);
  const readers = createReaders(options.readers);
  const counters = createCounters();
  const requests = new Map<string, { count: number; at: number }>();
  let server: VaultServer | null = null;
  let warnedAt = Number.NEGATIVE_INFINITY;

  const asked = (domain: string) => {
    const known = requests.get(domain);
    if (known === undefined) requests.set(domain, { count: 1, at: clock.now() });
    else {
      known.count += 1;
      known.at = clock.now();
    }
  };
  const refused = (address: string) => {
    const now = clock.now();
    if (Math.abs(now - warnedAt) < 60_000) return;
    warnedAt = now;
    log('warn', 'vault-refused', {
      address,
      advice: 'its token is none of this signer; compare `vault_token` there with `token` here',
    });
  };

  async function selfTest(domain: string, stream: string, selector: string): Promise<SelfTest> {
    const failed = (message: string): SelfTest => ({
      kind: 'failed',
      message: `Testing ${selector}._domainkey.${domain}: ${message}`,
    });
    const endpoint = server?.endpoints[0];
    if (endpoint === undefined) return failed('the endpoint is not open yet');
    const key = book
      .find(domain)
      ?.streams.get(stream)
      ?.find((each) => each.selector === selector);
    if (key === undefined) return failed(`the keyring that is loaded does not have it in the stream "${stream}"`);
    const publicKey = createPublicKey(key.privateKey);
    // rspamd asks by one path; what it signs says nothing of the others.
    if (probe !== null && stream === 'default') return probe.test(domain, selector, publicKey);
    const path = [...paths].find(([, its]) => its === stream)?.[0];
    if (path === undefined) return failed(`no path stands for the stream "${stream}"; give it one in \`paths\``);
    const reader = options.readers.find(({ token }) => readers.find(token)?.may(domain));
    if (reader === undefined) return failed('no reader may read this domain; see `readers`');
    try {
      const { status, body } = await readOverHttp(
        endpoint,
        `/v1/${path}/${domain}`,
        reader.token,
        options.tls !== null,
      );
      if (status !== 200) return failed(`the endpoint answered ${status}`);
      const { data } = served.parse(JSON.parse(body));
      const text = data.selectors.find((each) => each.selector === selector)?.key ?? null;
      return await testReadBack({ domain, selector }, text, publicKey);
    } catch (error) {
      // What is thrown for a body never holds it: the schema's messages name places alone.
      return failed(
        error instanceof z.ZodError || error instanceof SyntaxError ? 'its own answer cannot be read' : String(error),
      );
    }
  }

  return {
    id,
    kind: 'rspamd-vault',
    counters,
    endpoints: () => server?.endpoints ?? [],
    requests: () => requests,
    async load(keyrings) {
      for await (const keyring of keyrings) book.put(keyring);
      server = await startVaultServer(options, { answers, readers, paths, counters, asked, refused });
      log('info', 'vault-ready', { domains: book.size, endpoints: server.endpoints.join(' ') });
    },
    async deliver(keyring) {
      const present = book.find(keyring.domain);
      const refusal = whyNot(keyring, ed25519);
      if (present !== undefined && present.generation > keyring.generation) return acknowledged(present.generation);
      if (refusal !== null) return { kind: 'failed', message: refusal };
      const { generation } = book.put(keyring);
      if (server === null) return { kind: 'pending', message: `The endpoint of ${id} is not open yet.` };
      return acknowledged(generation);
    },
    async forget(domain) {
      book.remove(domain);
      requests.delete(domain);
    },
    selfTest,
    async close() {
      await server?.stop();
      server = null;
    },
  };
}

const served = z.object({
  data: z.object({ selectors: z.array(z.object({ selector: z.string(), key: z.string() })) }),
});

function acknowledged(generation: number): Delivery {
  return { kind: 'acknowledged', generation };
}

/** A keyring that would leave the domain unsigned is not put in place of one that signs. */
function whyNot({ domain, mustSign, streams }: Keyring, ed25519: Ed25519Form): string | null {
  const keys = Object.values(streams).flat();
  if (mustSign && keys.length === 0) {
    return `${domain} must be signed and was handed over without a key: what is there stays; see the conditions of ${domain}.`;
  }
  for (const { selector, privateKey } of keys) {
    try {
      rspamdKeyText(privateKey, ed25519);
    } catch {
      return `The key ${selector} of ${domain} cannot be read: what is there stays.`;
    }
  }
  return null;
}
