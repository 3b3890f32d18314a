/** Requests by HTTPS, signed, so that the other end knows that they are ours and new. */
import { createHmac } from 'node:crypto';
import { type IncomingMessage, type RequestOptions, request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';

export interface PostOptions {
  readonly url: URL;
  readonly secret: string;
  /** PEM of the certificates that are trusted; left out: those of the system. */
  readonly ca: string | undefined;
  readonly timeout: number;
  /** Octets of an answer. */
  readonly most: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** Times that a request is sent which got no answer. */
const attempts = 3;

/** `v1=` and the HMAC-SHA256, in hexadecimal, of `TIMESTAMP.ID.BODY` under the secret. */
export function signatureOf(secret: string, timestamp: string, id: string, body: string): string {
  return `v1=${createHmac('sha256', secret).update(`${timestamp}.${id}.${body}`).digest('hex')}`;
}

/**
 * Posts the body, and again under the same id where nothing came back or the other end was in trouble (5xx, 429).
 * @throws Error naming host and path, never the query, which may be a secret
 */
export async function post(options: PostOptions, id: string, body: string): Promise<string> {
  const { url, timeout } = options;
  const until = performance.now() + timeout;
  for (let attempt = 1; ; attempt++) {
    const left = until - performance.now();
    const answer = await postOnce({ ...options, timeout: Math.max(left, 1) }, id, body);
    if (answer.kind === 'answered') return answer.text;
    const pause = 100 * 4 ** (attempt - 1);
    if (!answer.again || attempt === attempts || pause > until - performance.now())
      throw new Error(`${url.host}${url.pathname} ${answer.why}`);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

type Posted =
  | { readonly kind: 'answered'; readonly text: string }
  | { readonly kind: 'not-answered'; readonly why: string; readonly again: boolean };

function postOnce({ url, secret, ca, timeout, most, now }: PostOptions, id: string, body: string): Promise<Posted> {
  // Made anew for each attempt: the other end refuses what is old.
  const timestamp = String(Math.floor(now() / 1000));
  const options: RequestOptions = {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      'Keyturn-Timestamp': timestamp,
      'Keyturn-Id': id,
      'Keyturn-Signature': signatureOf(secret, timestamp, id, body),
    },
    signal: AbortSignal.timeout(Math.ceil(timeout)),
  };
  return new Promise((resolve) => {
    const failed = (why: string, again: boolean): void => resolve({ kind: 'not-answered', why, again });
    const onAnswer = (response: IncomingMessage): void => {
      const { statusCode = 0 } = response;
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= most) return void chunks.push(chunk);
        failed(`answered more than ${most} octets`, false);
        response.destroy();
      });
      response.once('error', (error) => failed(`broke off its answer: ${error.message}`, true));
      response.once('end', () => {
        if (statusCode === 200) return resolve({ kind: 'answered', text: Buffer.concat(chunks).toString('utf8') });
        // Redirects are not followed: keys go where the settings say, and nowhere else.
        failed(`answered with status ${statusCode}`, statusCode >= 500 || statusCode === 429);
      });
    };
    const sent =
      url.protocol === 'https:'
        ? requestTls(url, { ...options, ...(ca === undefined ? {} : { ca }) }, onAnswer)
        : requestPlain(url, options, onAnswer);
    sent.once('error', (error) => {
      const late = error.name === 'AbortError' || error.name === 'TimeoutError';
      failed(late ? `did not answer within ${Math.ceil(timeout)} ms` : `cannot be reached: ${error.message}`, true);
    });
    sent.end(body);
  });
}
