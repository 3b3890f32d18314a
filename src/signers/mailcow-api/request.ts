/** One request to mailcow's API. What comes back is checked to be an answer of the API at all; errors never hold the key. */
import { Agent as HttpAgent, request as http } from 'node:http';
import { Agent as HttpsAgent, request as https } from 'node:https';

export interface ApiOptions {
  /** Of mailcow's user interface, such as `https://mail.example.com`. */
  readonly url: string;
  readonly apiKey: string;
  /** PEM of the authority that signed mailcow's certificate, where the system does not know it. */
  readonly ca?: string;
  /** Milliseconds. */
  readonly timeout: number;
}

export interface Api {
  get(path: string): Promise<unknown>;
  /** @throws Error also where the API answers that it did not do it; nothing of the body is in the error. */
  post(path: string, body: unknown): Promise<void>;
  close(): void;
}

/** Far more than any answer about one domain; a list of domains has some hundred octets each. */
const longestAnswer = 64 * 1024 * 1024;

export function createApi({ url, apiKey, ca, timeout }: ApiOptions): Api {
  const base = new URL(url.endsWith('/') ? url : `${url}/`);
  const secure = base.protocol === 'https:';
  const agent = secure
    ? new HttpsAgent({ keepAlive: true, maxSockets: 8, ...(ca === undefined ? {} : { ca }) })
    : new HttpAgent({ keepAlive: true, maxSockets: 8 });

  const send = (method: 'GET' | 'POST', path: string, body?: string): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const sent = (secure ? https : http)(
        new URL(`api/v1/${path}`, base),
        {
          method,
          agent,
          headers: {
            'x-api-key': apiKey,
            accept: 'application/json',
            ...(body === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
          },
          signal: AbortSignal.timeout(timeout),
        },
        (response) => {
          const chunks: Buffer[] = [];
          let length = 0;
          response.on('data', (chunk: Buffer) => {
            length += chunk.length;
            if (length > longestAnswer) response.destroy(new Error('the answer is too long'));
            else chunks.push(chunk);
          });
          response.once('error', reject);
          response.once('end', () =>
            resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
          );
        },
      );
      sent.once('error', reject);
      sent.end(body);
    });

  const ask = async (method: 'GET' | 'POST', path: string, body?: string): Promise<unknown> => {
    const what = `${method} ${base.origin}/api/v1/${path}`;
    let answer: { status: number; text: string };
    try {
      answer = await send(method, path, body);
    } catch (error) {
      const late = error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError');
      const why = late
        ? `no answer within ${timeout / 1000} s`
        : error instanceof Error && error.message !== ''
          ? error.message
          : String((error as { code?: unknown }).code ?? 'no connection');
      throw new Error(`mailcow cannot be asked (${what}): ${why}.`);
    }
    return read(what, answer);
  };

  return {
    get: (path) => ask('GET', path),
    async post(path, body) {
      const answer = await ask('POST', path, JSON.stringify(body));
      const failures = messagesOf(answer).filter(({ type }) => type !== 'success');
      if (failures.length > 0)
        throw new Error(
          `mailcow did not do it (POST ${base.origin}/api/v1/${path}): ${failures.map(({ words }) => words).join(' ')}`,
        );
    },
    close: () => agent.destroy(),
  };
}

function read(what: string, { status, text }: { status: number; text: string }): unknown {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = undefined;
  }
  const [message] = messagesOf(answer);
  const words = message === undefined ? '' : ` (${message.raw})`;
  switch (status) {
    case 200:
      if (answer !== undefined) return answer;
      throw new Error(
        `${what} answers with something that is not JSON, such as a login page: check that the URL is mailcow's own and that its API is switched on (System, Configuration, Access, API).`,
      );
    case 401:
      throw new Error(
        `mailcow does not accept the API key, or not from this machine's address${words}: check apiKey, and the addresses that the API allows. Repeated failures make mailcow ban the address.`,
      );
    case 403:
      throw new Error(`mailcow lets this API key read, not write${words}: give Keyturn the read-write key.`);
    default:
      throw new Error(`${what} answers with status ${status}${words}.`);
  }
}

interface ApiMessage {
  readonly type: string;
  /** As mailcow wrote it. */
  readonly raw: string;
  readonly words: string;
}

const meanings: Readonly<Record<string, string>> = {
  dkim_domain_or_sel_invalid: 'the domain or selector is not valid, or the domain has a key already',
  dkim_domain_or_sel_exists: 'the domain has a key already',
  access_denied: "the API key's user has no access to the domain, or mailcow does not know the domain",
  private_key_error: 'mailcow cannot read the private key',
  redis_error: 'mailcow cannot write to its Redis: see to its disk and memory',
  domain_exists: 'the domain is there already',
  domain_invalid: 'the name of the domain is not valid',
  domain_cannot_match_hostname: "the domain must not be mailcow's own host name",
};

/** The messages of a write's answer; `log` is passed over, for it repeats what was sent. */
function messagesOf(answer: unknown): ApiMessage[] {
  const list = Array.isArray(answer) ? answer : [answer];
  return list.flatMap((entry): ApiMessage[] => {
    if (typeof entry !== 'object' || entry === null) return [];
    const { type, msg } = entry as { type?: unknown; msg?: unknown };
    if (typeof type !== 'string') return [];
    const parts = (Array.isArray(msg) ? msg : [msg]).filter((part): part is string => typeof part === 'string');
    const raw = parts.join(' ').slice(0, 300);
    const meaning = meanings[parts[0] ?? ''];
    return [{ type, raw, words: meaning === undefined ? `${raw}.` : `${meaning} (${raw}).` }];
  });
}
