/**
 * Amazon SES (API v2) as far as DKIM goes: every request's signature (AWS Signature Version 4) is reckoned here anew, a key that was given
 * is verified against a DNS of the test's own, and calls are throttled.
 */
import { createHash, createHmac, createPrivateKey, createPublicKey, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Identity {
  origin: 'AWS_SES' | 'EXTERNAL';
  status: 'PENDING' | 'SUCCESS' | 'FAILED' | 'TEMPORARY_FAILURE' | 'NOT_STARTED';
  enabled: boolean;
  selector: string;
  /** As it belongs into `p=`. */
  publicKey: string;
}

export interface SesServer extends AsyncDisposable {
  readonly url: string;
  readonly identities: Map<string, Identity>;
  readonly calls: string[];
  /** The next so many calls are throttled. */
  throttle: number;
  /** The next so many calls fail by SES's own fault. */
  fail: number;
  /** Actions that the access key may not take, such as `ses:PutEmailIdentityDkimSigningAttributes`. */
  readonly denied: Set<string>;
  /** SES looks at DNS: what is pending, or verified, is judged by the record at its name. */
  lookAtDns(records: ReadonlyMap<string, string>): void;
}

interface SesOptions {
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

type Reply = { readonly status: number; readonly body: unknown; readonly error?: string };

export async function startSes(options: SesOptions): Promise<SesServer> {
  const identities = new Map<string, Identity>();
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const { status, body: answer, error } = reply(request, body);
      response
        .writeHead(status, {
          'content-type': 'application/json',
          ...(error === undefined
            ? {}
            : { 'x-amzn-errortype': `${error}:http://internal.amazon.com/coral/com.amazonaws.ses/` }),
        })
        .end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const ses: SesServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    identities,
    calls: [],
    throttle: 0,
    fail: 0,
    denied: new Set(),
    lookAtDns(records) {
      for (const [domain, identity] of identities) {
        if (identity.origin !== 'EXTERNAL' || identity.status === 'FAILED') continue;
        const record = records.get(`${identity.selector}._domainkey.${domain}`);
        const seen = record?.replaceAll(/\s/g, '').includes(`p=${identity.publicKey}`);
        if (seen) identity.status = 'SUCCESS';
        else if (identity.status === 'SUCCESS') identity.status = 'TEMPORARY_FAILURE';
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return ses;

  function reply(request: IncomingMessage, body: string): Reply {
    const wrong = faultOfSignature(request, body, options);
    if (wrong !== null) return refused(403, wrong.type, wrong.message);
    const { pathname } = new URL(request.url ?? '/', 'http://ses');
    ses.calls.push(`${request.method} ${pathname}`);
    if (ses.throttle > 0) {
      ses.throttle -= 1;
      return refused(429, 'TooManyRequestsException', 'Rate exceeded');
    }
    if (ses.fail > 0) {
      ses.fail -= 1;
      return refused(500, 'InternalServiceErrorException', 'Internal failure');
    }
    const given = body === '' ? {} : (JSON.parse(body) as Record<string, unknown>);
    const [, version, , , name = '', ...rest] = pathname.split('/').map(decodeURIComponent);
    const action = `${request.method} ${version} ${rest.join('/')}`;
    switch (action) {
      case 'GET v2 ':
        return allowed('ses:GetEmailIdentity', () => withIdentity(name, (identity) => ok(shown(identity))));
      case 'POST v2 ':
        return allowed('ses:CreateEmailIdentity', () =>
          create(String(given.EmailIdentity), given.DkimSigningAttributes),
        );
      case 'PUT v1 dkim/signing':
        return allowed('ses:PutEmailIdentityDkimSigningAttributes', () =>
          withIdentity(name, (identity) => {
            if (given.SigningAttributesOrigin !== 'EXTERNAL')
              return refused(400, 'BadRequestException', 'not EXTERNAL');
            const key = readKey(given.SigningAttributes);
            if (typeof key === 'string') return refused(400, 'BadRequestException', key);
            Object.assign(identity, key, { origin: 'EXTERNAL', status: 'PENDING' });
            return ok({ DkimStatus: identity.status, DkimTokens: [identity.selector] });
          }),
        );
      case 'PUT v2 dkim':
        return allowed('ses:PutEmailIdentityDkimAttributes', () =>
          withIdentity(name, (identity) => {
            identity.enabled = given.SigningEnabled === true;
            return ok({});
          }),
        );
      default:
        return refused(404, 'UnknownOperationException', action);
    }
  }

  function allowed(action: string, then: () => Reply): Reply {
    if (!ses.denied.has(action)) return then();
    return refused(403, 'AccessDeniedException', `User: arn:aws:iam::1:user/k is not authorized to perform: ${action}`);
  }

  function withIdentity(name: string, then: (identity: Identity) => Reply): Reply {
    const identity = identities.get(name);
    if (identity === undefined) return refused(404, 'NotFoundException', `Email identity ${name} does not exist.`);
    return then(identity);
  }

  function create(name: string, attributes: unknown): Reply {
    if (identities.has(name)) return refused(400, 'AlreadyExistsException', `Email identity ${name} already exist.`);
    const key = readKey(attributes);
    if (typeof key === 'string') return refused(400, 'BadRequestException', key);
    identities.set(name, { ...key, origin: 'EXTERNAL', status: 'PENDING', enabled: true });
    return ok({ IdentityType: 'DOMAIN', VerifiedForSendingStatus: false });
  }
}

function shown({ origin, status, enabled, selector }: Identity): unknown {
  return {
    IdentityType: 'DOMAIN',
    DkimAttributes: {
      SigningEnabled: enabled,
      Status: status,
      SigningAttributesOrigin: origin,
      Tokens: origin === 'EXTERNAL' ? [selector] : ['aaaa', 'bbbb', 'cccc'],
    },
  };
}

/** A key that SES would take: base64 without armour, RSA, 1024 to 2048 bits; or why not. */
function readKey(attributes: unknown): { selector: string; publicKey: string } | string {
  const { DomainSigningSelector: selector, DomainSigningPrivateKey: key } = (attributes ?? {}) as Record<
    string,
    unknown
  >;
  if (typeof selector !== 'string' || !/^[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*$/i.test(selector))
    return 'Invalid selector.';
  if (typeof key !== 'string' || !/^[A-Za-z0-9+/]+={0,2}$/.test(key)) return 'Invalid private key: not base64.';
  try {
    const der = Buffer.from(key, 'base64');
    const pkcs8 = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    const bits = pkcs8.asymmetricKeyDetails?.modulusLength ?? 0;
    if (pkcs8.asymmetricKeyType !== 'rsa' || bits < 1024 || bits > 2048)
      return 'Invalid private key: not RSA of 1024-2048 bits.';
    return { selector, publicKey: createPublicKey(pkcs8).export({ type: 'spki', format: 'der' }).toString('base64') };
  } catch {
    return 'Invalid private key.';
  }
}

/** What is wrong with a request's signature, as AWS says it; null where it is right. */
function faultOfSignature(
  request: IncomingMessage,
  body: string,
  { region, accessKeyId, secretAccessKey, sessionToken }: SesOptions,
): { readonly type: string; readonly message: string } | null {
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? '',
    );
  if (parts === null) return { type: 'MissingAuthenticationTokenException', message: 'Missing Authentication Token' };
  const [, key, date = '', itsRegion = '', service = '', signed = '', signature = ''] = parts;
  if (key !== accessKeyId)
    return { type: 'UnrecognizedClientException', message: 'The security token included in the request is invalid.' };
  if (itsRegion !== region || service !== 'ses')
    return { type: 'InvalidSignatureException', message: `Credential should be scoped to ${region}/ses` };
  if (sessionToken !== undefined && request.headers['x-amz-security-token'] !== sessionToken)
    return { type: 'UnrecognizedClientException', message: 'The security token included in the request is invalid.' };
  const time = String(request.headers['x-amz-date']);
  if (!time.startsWith(date))
    return { type: 'InvalidSignatureException', message: 'Date in Credential scope does not match' };
  const url = new URL(request.url ?? '/', 'http://ses');
  const sha = (text: string) => createHash('sha256').update(text).digest('hex');
  const names = signed.split(';');
  if (!names.includes('host') || !names.includes('x-amz-date'))
    return { type: 'InvalidSignatureException', message: 'host and date must be signed' };
  const canonical = [
    request.method,
    // Encoded once more than on the wire, as every service but S3 has it.
    url.pathname
      .split('/')
      .map((part) => encodeURIComponent(part))
      .join('/'),
    [...url.searchParams]
      .map(([n, v]) => `${encodeURIComponent(n)}=${encodeURIComponent(v)}`)
      .sort()
      .join('&'),
    ...names.map((name) => `${name}:${String(request.headers[name] ?? '').trim()}`),
    '',
    signed,
    sha(body),
  ].join('\n');
  const scope = `${date}/${region}/ses/aws4_request`;
  const hmac = (with_: string | Buffer, text: string) => createHmac('sha256', with_).update(text).digest();
  const signing = hmac(hmac(hmac(hmac(`AWS4${secretAccessKey}`, date), region), 'ses'), 'aws4_request');
  const expected = hmac(signing, ['AWS4-HMAC-SHA256', time, scope, sha(canonical)].join('\n'));
  if (timingSafeEqual(expected, Buffer.from(signature, 'hex'))) return null;
  return {
    type: 'InvalidSignatureException',
    message:
      'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.',
  };
}

function ok(body: unknown): Reply {
  return { status: 200, body };
}

function refused(status: number, error: string, message: string): Reply {
  return { status, body: { message }, error };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
