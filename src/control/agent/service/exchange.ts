/** One request and its answer: bodies of bounded size, JSON both ways, and problems as application/problem+json (RFC 9457). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { z } from 'zod';
import { MOST_REQUEST_BYTES, PROBLEM, type ProblemKind } from '../wire.ts';

const titles: Readonly<Record<ProblemKind, readonly [status: number, title: string]>> = {
  'not-authenticated': [401, 'Keyturn does not know this agent'],
  'too-many-failures': [429, 'Too many failed attempts'],
  'name-taken': [409, 'Another agent runs under this name'],
  'not-greeted': [428, 'The agent has to greet first'],
  'position-unknown': [410, 'There is no such place in the journal'],
  'bad-request': [400, 'The request cannot be understood'],
  'too-large': [413, 'The request is too large'],
  'no-such-call': [404, 'There is no such call'],
  internal: [503, 'Keyturn cannot answer now'],
};

/** An answer other than what was asked for. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly kind: ProblemKind;
  readonly headers: Readonly<Record<string, string>>;

  constructor(kind: ProblemKind, detail: string, headers: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.kind = kind;
    this.headers = headers;
  }
}

/** The body, read by its schema. @throws Problem */
export async function readBody<S extends z.ZodType>(request: IncomingMessage, schema: S): Promise<z.output<S>> {
  const tooLarge = () =>
    new Problem('too-large', `a request may have ${MOST_REQUEST_BYTES} octets: send less at once`, {
      connection: 'close',
    });
  if (Number(request.headers['content-length'] ?? 0) > MOST_REQUEST_BYTES) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MOST_REQUEST_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  let json: unknown;
  try {
    json = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    // The parser's words quote what it read.
    throw new Problem('bad-request', 'the body is not JSON');
  }
  return understand(schema, json);
}

/** @throws Problem naming the place of what is wrong, never its content. */
export function understand<S extends z.ZodType>(schema: S, given: unknown): z.output<S> {
  const read = schema.safeParse(given);
  if (read.success) return read.data;
  const places = read.error.issues
    .slice(0, 3)
    .map(({ path, code }) => `${path.map(String).join('.').slice(0, 80)} (${code})`);
  throw new Problem('bad-request', `not as expected: ${places.join(', ')}`);
}

const packed = promisify(gzip);
const worthPacking = 1400;

export async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  body: unknown,
  isLast: boolean,
): Promise<void> {
  const text = Buffer.from(JSON.stringify(body));
  const mayPack = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? '')) && text.length > worthPacking;
  const sent = mayPack ? await packed(text, { level: 1 }) : text;
  if (response.destroyed) return;
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': sent.length,
    'cache-control': 'no-store',
    ...(mayPack ? { 'content-encoding': 'gzip' } : {}),
    // A server that is stopping keeps no connection for another request.
    ...(isLast ? { connection: 'close' } : {}),
  });
  response.end(sent);
}

export function answerProblem(response: ServerResponse, { kind, message, headers }: Problem, time: number): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const [status, title] = titles[kind];
  const body = Buffer.from(JSON.stringify({ type: `${PROBLEM}${kind}`, title, status, detail: message, time }));
  response.writeHead(status, {
    'content-type': 'application/problem+json',
    'content-length': body.length,
    'cache-control': 'no-store',
    ...headers,
  });
  response.end(body);
}
