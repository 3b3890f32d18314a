/**
 * mailcow's API as far as DKIM goes, on Redis hashes as mailcow has them: what it accepts, what it overwrites without a word, and how it
 * fails. Written from mailcow's own behaviour, oddities included.
 */
import { generateKeyPair } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Redis } from 'ioredis';

/** What stands in the way of the next answers. */
export type MailcowTrouble =
  | { readonly kind: 'none' }
  /** Every answer waits so long. */
  | { readonly kind: 'slow'; readonly milliseconds: number }
  | { readonly kind: 'error-500' }
  /** A proxy, or a session that ran out, shows the login page with status 200. */
  | { readonly kind: 'login-page' }
  /** Writes answer success and change nothing. */
  | { readonly kind: 'lies' }
  /** The caller's address is not on the API's allow list. */
  | { readonly kind: 'address-refused' }
  /** The connection is closed in the middle of a write, before or after it took effect. */
  | { readonly kind: 'cut'; readonly when: 'before' | 'after' };

export interface MailcowOptions {
  readonly redis: Redis;
  readonly apiKey: string;
  readonly readOnlyKey?: string;
  /** `SHOW_DKIM_PRIV_KEYS`: off in mailcow unless somebody turns it on. */
  readonly showPrivateKeys?: boolean;
  /** Mail domains; keys are only made for these. */
  readonly domains?: readonly string[];
}

export interface MailcowServer extends AsyncDisposable {
  readonly url: string;
  trouble: MailcowTrouble;
  showPrivateKeys: boolean;
  /** Mail domain → whether it stands in the global address list. */
  readonly domains: Map<string, { readonly gal: boolean }>;
  /** `METHOD path body` of each request that was let in, in order. */
  readonly calls: string[];
}

type Answer = { readonly status: number; readonly body: unknown };

interface Message {
  readonly type: 'success' | 'danger' | 'error';
  readonly log: readonly unknown[];
  readonly msg: string | readonly string[];
}

export async function startMailcow(options: MailcowOptions): Promise<MailcowServer> {
  const server = createServer((request, response) => {
    void handle(request, response).catch((error: unknown) => {
      response.writeHead(500).end(error instanceof Error ? error.message : '');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { redis } = options;
  const mailcow: MailcowServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    trouble: { kind: 'none' },
    showPrivateKeys: options.showPrivateKeys ?? false,
    domains: new Map((options.domains ?? []).map((domain) => [domain, { gal: true }])),
    calls: [],
    [Symbol.asyncDispose]: () => close(server),
  };
  return mailcow;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await bodyOf(request);
    const { trouble } = mailcow;
    if (trouble.kind === 'slow') await new Promise((resolve) => setTimeout(resolve, trouble.milliseconds));
    if (trouble.kind === 'error-500') return void response.writeHead(500).end('upstream went away');
    if (trouble.kind === 'login-page')
      return void response
        .writeHead(200, { 'content-type': 'text/html; charset=UTF-8' })
        .end('<!DOCTYPE html><html><title>mailcow UI</title><form name="login"></form></html>');
    const send = ({ status, body }: Answer) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    const key = request.headers['x-api-key'];
    const writer = key === options.apiKey;
    if (!writer && (key === undefined || key !== options.readOnlyKey))
      return void send({ status: 401, body: { type: 'error', msg: 'authentication failed' } });
    if (trouble.kind === 'address-refused')
      return void send({ status: 401, body: { type: 'error', msg: 'api access denied for ip 127.0.0.1' } });
    const path = new URL(request.url ?? '/', 'http://mailcow').pathname;
    mailcow.calls.push(`${request.method} ${path}${text === '' ? '' : ` ${text}`}`);
    const writes = !path.startsWith('/api/v1/get/');
    if (writes && trouble.kind === 'cut' && trouble.when === 'before') return void request.socket.destroy();
    const answer = await route(request.method ?? '', path, text, writer);
    if (writes && trouble.kind === 'cut') return void request.socket.destroy();
    send(answer);
  }

  async function route(method: string, path: string, text: string, writer: boolean): Promise<Answer> {
    const [, , , action = '', category = '', ...rest] = path.split('/').map(decodeURIComponent);
    const object = rest[0] ?? '';
    if (action === 'get') {
      if (method !== 'GET') return refusal(405, 'only GET method is allowed');
      if (category === 'dkim') return { status: 200, body: await details(object) };
      if (category === 'domain') return { status: 200, body: domainDetails(object) };
      return refusal(404, 'route not found');
    }
    if (action !== 'add' && action !== 'delete') return refusal(404, 'route not found');
    if (!writer) return refusal(403, 'API read/write access denied');
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch {
      return refusal(400, "Request body doesn't contain valid json!");
    }
    // The API's log keeps what was sent, but for fields whose name says "pass".
    await redis.lpush('API_LOG', JSON.stringify({ uri: path, method, data: text }));
    if (method !== 'POST') return refusal(405, 'only POST method is allowed');
    const given = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
    if (mailcow.trouble.kind === 'lies') return { status: 200, body: { type: 'success', msg: 'Task completed' } };
    const messages = await write(`${action}/${category}`, given, body);
    return messages === null ? refusal(404, 'route not found') : { status: 200, body: messages };
  }

  async function write(call: string, given: Record<string, unknown>, body: unknown): Promise<Message[] | null> {
    switch (call) {
      case 'add/dkim':
        return addKeys(given);
      case 'add/dkim_duplicate':
        return duplicate(given);
      case 'add/dkim_import':
        return importKey(given);
      case 'delete/dkim': {
        const messages: Message[] = [];
        for (const domain of (Array.isArray(body) ? body : [body]).map(String)) messages.push(await remove(domain));
        return messages;
      }
      case 'add/domain':
        return [await addDomain(given)];
      default:
        return null;
    }
  }

  async function details(domain: string): Promise<unknown> {
    const pubkey = await redis.hget('DKIM_PUB_KEYS', domain);
    if (pubkey === null || pubkey === '') return {};
    const selector = (await redis.hget('DKIM_SELECTORS', domain)) ?? false;
    const pem = await redis.hget('DKIM_PRIV_KEYS', `${selector === false ? '' : selector}.${domain}`);
    return {
      pubkey,
      length: pubkey.length < 391 ? '1024' : pubkey.length < 736 ? '2048' : pubkey.length < 1416 ? '4096' : '>= 8192',
      dkim_txt: `v=DKIM1;k=rsa;t=s;s=email;p=${pubkey}`,
      dkim_selector: selector,
      privkey: mailcow.showPrivateKeys ? Buffer.from(pem ?? '').toString('base64') : '',
    };
  }

  function domainDetails(domain: string): unknown {
    const row = (name: string) => ({ domain_name: name, gal: mailcow.domains.get(name)?.gal === true ? 1 : 0 });
    if (domain === 'all') return [...mailcow.domains.keys()].map(row);
    return mailcow.domains.has(domain) ? row(domain) : {};
  }

  async function addKeys(given: Record<string, unknown>): Promise<Message[]> {
    const selector = given.dkim_selector === undefined ? 'dkim' : String(given.dkim_selector);
    const messages: Message[] = [];
    for (const domain of String(given.domains)
      .split(/[ ,;\n]/)
      .filter((each) => each !== '')) {
      const refused = (why: string) => messages.push(danger('add', [why, domain]));
      if (!isDomain(domain) || (await redis.hexists('DKIM_PUB_KEYS', domain)) === 1 || !isSelector(selector)) {
        refused('dkim_domain_or_sel_invalid');
        continue;
      }
      if (!mailcow.domains.has(domain)) {
        refused('access_denied');
        continue;
      }
      const { publicKey, privateKey } = await makePair(Number(given.key_size));
      await redis.hset('DKIM_PUB_KEYS', domain, publicKey);
      await redis.hset('DKIM_SELECTORS', domain, selector);
      await redis.hset('DKIM_PRIV_KEYS', `${selector}.${domain}`, privateKey);
      messages.push(success('add', ['dkim_added', domain]));
    }
    return messages;
  }

  async function duplicate(given: Record<string, unknown>): Promise<Message[]> {
    const from = String(given.from_domain);
    const pubkey = await redis.hget('DKIM_PUB_KEYS', from);
    if (pubkey === null) return [danger('duplicate', ['dkim_domain_or_sel_invalid', from])];
    const selector = (await redis.hget('DKIM_SELECTORS', from)) ?? '';
    const pem = (await redis.hget('DKIM_PRIV_KEYS', `${selector}.${from}`)) ?? '';
    const messages: Message[] = [];
    const targets = Array.isArray(given.to_domain) ? given.to_domain : [given.to_domain];
    for (const to of targets.map(String).filter((each) => each !== '')) {
      // In mailcow's order, one command after the other and as close together as a test can have them: what lies between the selector and
      // its key is a window of mailcow's own.
      await redis
        .pipeline()
        .hset('DKIM_PUB_KEYS', to, pubkey)
        .hset('DKIM_SELECTORS', to, selector)
        .hset('DKIM_PRIV_KEYS', `${selector}.${to}`, pem)
        .exec();
      messages.push(success('duplicate', ['dkim_duplicated', from, to]));
    }
    return messages;
  }

  async function importKey(given: Record<string, unknown>): Promise<Message[]> {
    const domain = String(given.domain);
    const selector = given.dkim_selector === undefined ? 'dkim' : String(given.dkim_selector);
    const pem = String(given.private_key_file).trim().replaceAll(/\r\n?/g, '\n');
    const { createPrivateKey, createPublicKey } = await import('node:crypto');
    let pubkey: string;
    try {
      pubkey = createPublicKey(createPrivateKey(pem)).export({ type: 'spki', format: 'der' }).toString('base64');
    } catch {
      return [danger('import', ['private_key_error', 'error:0909006C:PEM routines:get_name:no start line'])];
    }
    if (!isDomain(domain) || !isSelector(selector)) return [danger('import', ['dkim_domain_or_sel_invalid', domain])];
    if ((await redis.hexists('DKIM_PUB_KEYS', domain)) === 1 && Number(given.overwrite_existing) === 0)
      return [danger('import', ['dkim_domain_or_sel_exists', domain])];
    await remove(domain);
    await redis.hset('DKIM_PUB_KEYS', domain, pubkey);
    await redis.hset('DKIM_SELECTORS', domain, selector);
    await redis.hset('DKIM_PRIV_KEYS', `${selector}.${domain}`, pem);
    return [success('import', ['dkim_added', domain])];
  }

  async function remove(domain: string): Promise<Message> {
    if (!isDomain(domain)) return danger('delete', ['dkim_domain_or_sel_invalid', domain]);
    const selector = (await redis.hget('DKIM_SELECTORS', domain)) ?? '';
    await redis.hdel('DKIM_PUB_KEYS', domain);
    await redis.hdel('DKIM_PRIV_KEYS', `${selector}.${domain}`);
    await redis.hdel('DKIM_SELECTORS', domain);
    return success('delete', ['dkim_removed', domain]);
  }

  async function addDomain(given: Record<string, unknown>): Promise<Message> {
    const domain = String(given.domain).toLowerCase();
    const refused = (why: string | readonly string[]) => danger('add', why);
    if (Number(given.defquota) > Number(given.maxquota)) return refused('mailbox_defquota_exceeds_mailbox_maxquota');
    if (Number(given.maxquota) > Number(given.quota)) return refused('mailbox_quota_exceeds_domain_quota');
    if (Number(given.defquota) === 0) return refused('defquota_empty');
    if (!isDomain(domain)) return refused('domain_invalid');
    if (mailcow.domains.has(domain)) return refused(['domain_exists', domain]);
    mailcow.domains.set(domain, { gal: given.gal === undefined || Number(given.gal) === 1 });
    await redis.hset('DOMAIN_MAP', domain, '1');
    const bits = given.key_size === undefined ? 2048 : Number(given.key_size);
    if (bits > 0 && given.dkim_selector !== '')
      await addKeys({ domains: domain, dkim_selector: given.dkim_selector ?? 'dkim', key_size: bits });
    return success('add', ['domain_added', domain]);
  }
}

function danger(action: string, msg: string | readonly string[]): Message {
  return { type: 'danger', log: ['dkim', action, {}], msg };
}

function success(action: string, msg: readonly string[]): Message {
  return { type: 'success', log: ['dkim', action, {}], msg };
}

function refusal(status: number, msg: string): Answer {
  return { status, body: { type: 'error', msg } };
}

function isDomain(domain: string): boolean {
  return domain.length <= 253 && /^([a-z\d](-*[a-z\d])*)(\.([a-z\d](-*[a-z\d])*))*$/i.test(domain);
}

function isSelector(selector: string): boolean {
  return /^[a-z0-9]+$/i.test(selector.replaceAll(/[-_.]/g, ''));
}

/** As PHP's OpenSSL exports it: PKCS#8 with line feeds and no final one. */
function makePair(bits: number): Promise<{ publicKey: string; privateKey: string }> {
  return new Promise((resolve, reject) => {
    generateKeyPair(
      'rsa',
      {
        modulusLength: bits,
        publicKeyEncoding: { type: 'spki', format: 'der' },
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      },
      (error, publicKey, privateKey) => {
        if (error !== null) reject(error);
        else resolve({ publicKey: publicKey.toString('base64'), privateKey: privateKey.trim() });
      },
    );
  });
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
