/** The agent's end of the line: HTTPS to one of the control plane's instances, whose certificate is judged before a word is said. */
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { z } from 'zod';
import { BOOT_HEADER, MOST_ANSWER_BYTES, PATH, PROBLEM, type ProblemKind, problem, TIME_HEADER } from '../wire.ts';

export interface LinkOptions {
  readonly urls: readonly string[];
  readonly token: string | null;
  readonly pins: readonly string[] | null;
  /** Paths, absolute; read again for each connection, so that renewed certificates are taken up. */
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
  readonly boot: string;
  /** The agent's own time, epoch milliseconds. */
  readonly now: () => number;
  /** Told of each answer's time, with the moments (of a clock that never jumps) of asking and hearing. */
  readonly onTime: (theirs: number, asked: number, heard: number) => void;
}

/** `away`: not reached, try again. `refused`: reached, and it will not speak to us (or we not to it). `odd`: an answer that makes no sense. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
  readonly kind: 'away' | 'refused' | 'odd';
  readonly problem: ProblemKind | null;
  /** Milliseconds after which it says to come again. */
  readonly retryAfter: number | null;

  constructor(
    kind: LinkError['kind'],
    message: string,
    { problem: its = null, retryAfter = null }: { problem?: ProblemKind | null; retryAfter?: number | null } = {},
  ) {
    super(message);
    this.kind = kind;
    this.problem = its;
    this.retryAfter = retryAfter;
  }
}

export interface Call<S extends z.ZodType> {
  readonly method: 'GET' | 'POST';
  /** Below {@link PATH}, with its query. */
  readonly path: string;
  readonly answer: S;
  readonly body?: unknown;
  /** Milliseconds. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

export interface Link {
  /** @throws LinkError */
  call<S extends z.ZodType>(call: Call<S>): Promise<z.output<S>>;
  /** Turns to the next of the addresses. */
  next(): void;
  readonly url: string;
  close(): void;
}

const usualTimeout = 20_000;
const unpacked = promisify(gunzip);

export function openLink(options: LinkOptions): Link {
  let at = 0;
  const base = () => new URL(options.urls[at % options.urls.length] ?? '');
  const pool = { keepAlive: true, maxSockets: 8, timeout: 60_000 };
  const http = new HttpAgent(pool);
  const https = new PinningAgent(options, pool);

  async function call<S extends z.ZodType>(given: Call<S>): Promise<z.output<S>> {
    const url = new URL(`${PATH}${given.path}`, base());
    const where = url.host;
    const body = given.body === undefined ? null : Buffer.from(JSON.stringify(given.body));
    const timeout = AbortSignal.timeout(given.timeout ?? usualTimeout);
    const asked = performance.now();
    const signal = given.signal === undefined ? timeout : AbortSignal.any([given.signal, timeout]);
    let response: IncomingMessage;
    let text: Buffer;
    try {
      response = await new Promise<IncomingMessage>((resolve, reject) => {
        const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
          method: given.method,
          agent: url.protocol === 'https:' ? https : http,
          signal,
          headers: {
            accept: 'application/json',
            'accept-encoding': 'gzip',
            [BOOT_HEADER]: options.boot,
            [TIME_HEADER]: String(Math.round(options.now())),
            ...(options.token === null ? {} : { authorization: `Bearer ${options.token}` }),
            ...(body === null ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
          },
        });
        request.once('response', resolve);
        request.once('error', reject);
        request.end(body ?? undefined);
      });
      text = await readAll(response);
      if (response.headers['content-encoding'] === 'gzip')
        text = await unpacked(text, { maxOutputLength: MOST_ANSWER_BYTES });
    } catch (error) {
      if (given.signal?.aborted) throw new LinkError('away', 'stopped');
      if (error instanceof LinkError) throw error;
      throw timeout.aborted
        ? new LinkError(
            'away',
            `Keyturn at ${where} did not answer within ${Math.round((given.timeout ?? usualTimeout) / 1000)} s`,
          )
        : explain(error, where);
    }
    const heard = performance.now();
    let json: unknown;
    try {
      json = JSON.parse(text.toString('utf8'));
    } catch {
      throw new LinkError(
        'odd',
        `What answers at ${where} is not Keyturn (HTTP ${response.statusCode}): check control.url, and what proxy stands between`,
      );
    }
    if (typeof json === 'object' && json !== null && 'time' in json && typeof json.time === 'number')
      options.onTime(json.time, asked, heard);
    if (response.statusCode !== 200) throw refusal(json, response, where);
    const read = given.answer.safeParse(json);
    if (read.success) return read.data;
    const places = read.error.issues.slice(0, 3).map(({ path }) => path.map(String).join('.').slice(0, 80));
    throw new LinkError(
      'odd',
      `Keyturn at ${where} answered what this version does not understand (at ${places.join(', ')}): bring the older of the two up to date`,
    );
  }

  return {
    call,
    next: () => {
      at += 1;
    },
    get url() {
      return base().href;
    },
    close: () => {
      http.destroy();
      https.destroy();
    },
  };
}

function refusal(json: unknown, response: IncomingMessage, where: string): LinkError {
  const read = problem.safeParse(json);
  if (!read.success || !read.data.type.startsWith(PROBLEM))
    return new LinkError(
      'odd',
      `Keyturn at ${where} answered with HTTP ${response.statusCode} and no reason: check what proxy stands between`,
    );
  const { type, title, detail } = read.data;
  const kind = type.slice(PROBLEM.length) as ProblemKind;
  const seconds = Number(response.headers['retry-after']);
  return new LinkError(
    kind === 'internal' ? 'away' : 'refused',
    `${title}${detail === undefined ? '' : `: ${detail}`} (${where})`,
    {
      problem: kind,
      retryAfter: Number.isFinite(seconds) ? seconds * 1000 : null,
    },
  );
}

async function readAll(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MOST_ANSWER_BYTES) throw new LinkError('odd', 'the answer is larger than any of Keyturn');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Hands a connection out only when its certificate has been judged: no token is sent to whoever answers. */
class PinningAgent extends HttpsAgent {
  readonly #options: LinkOptions;

  constructor(options: LinkOptions, pool: ConstructorParameters<typeof HttpsAgent>[0]) {
    super(pool);
    this.#options = options;
  }

  override createConnection(
    given: { host?: string | null; port?: number | string | null },
    done?: (error: Error | null, socket: Duplex) => void,
  ): Socket | undefined {
    const { pins, ca, cert, key } = this.#options;
    const host = (given.host ?? '').replace(/^\[|\]$/g, '');
    const settings: ConnectionOptions = {
      host,
      port: Number(given.port),
      ...(isIP(host) === 0 ? { servername: host } : {}),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: pins === null,
      ...(ca === null ? {} : { ca: readFileSync(ca) }),
      ...(cert === null || key === null ? {} : { cert: readFileSync(cert), key: readFileSync(key) }),
    };
    const socket = tlsConnect(settings);
    const failed = (error: Error) => done?.(error, socket);
    socket.once('error', failed);
    socket.setTimeout(usualTimeout, () =>
      socket.destroy(new LinkError('away', `Keyturn at ${host} did not finish the TLS handshake`)),
    );
    socket.once('secureConnect', () => {
      socket.setTimeout(0);
      const shown = socket.getPeerX509Certificate();
      const its = shown === undefined ? '' : pinOf(shown);
      if (pins !== null && !pins.includes(its)) {
        const message = `The server at ${host} shows a certificate with the key ${its}, which is not the pinned one (control.pin): either its key was renewed (\`keyturn agent enroll\` prints the new pin), or this is not your Keyturn. Nothing was sent to it`;
        socket.off('error', failed);
        socket.on('error', () => undefined);
        socket.destroy();
        done?.(new LinkError('refused', message), socket);
        return;
      }
      socket.off('error', failed);
      done?.(null, socket);
    });
    return undefined;
  }
}

/** What `control.pin` holds for this certificate. */
export function pinOf(certificate: X509Certificate): string {
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return `sha256:${createHash('sha256').update(spki).digest('base64')}`;
}

/** The pin of the first certificate of a PEM file. */
export function pinOfFile(file: string): string {
  return pinOf(new X509Certificate(readFileSync(file)));
}

const certificateAdvice: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired: renew it (agents.tls.cert there), or check the clock here',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet: check the clocks here and there',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is signed by itself: name it by control.pin or control.ca',
  SELF_SIGNED_CERT_IN_CHAIN:
    'its certificate comes from an authority that this machine does not know: name that by control.ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'its certificate comes from an authority that this machine does not know: name that by control.ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'its certificate comes from an authority that this machine does not know: name that by control.ca',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name than the one in control.url',
};

/** A failed connection in words. Handshake alerts of the other side are about our certificate. */
function explain(error: unknown, where: string): LinkError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const text = error instanceof Error ? error.message : String(error);
  const known = certificateAdvice[code];
  if (known !== undefined) return new LinkError('refused', `Keyturn at ${where} is not believed: ${known}`);
  if (code.startsWith('ERR_SSL_') && /alert/i.test(text))
    return new LinkError(
      'refused',
      `Keyturn at ${where} refused the connection: ${text}; check control.cert and control.key`,
    );
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO')
    return new LinkError('refused', `What answers at ${where} does not speak TLS as expected: ${text}`);
  if (code === 'ENOENT' || code === 'EACCES')
    return new LinkError('refused', `A file of the connection cannot be read: ${text}`);
  return new LinkError('away', `Keyturn at ${where} is not reached: ${text === '' ? code : text}`);
}
