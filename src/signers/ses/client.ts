/** The four calls of Amazon SES (API v2) that concern a domain's DKIM key. Errors never hold a key. */
import { AwsClient } from 'aws4fetch';

export interface SesCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface SesOptions extends SesCredentials {
  readonly region: string;
  /** Another server than `https://email.REGION.amazonaws.com`. */
  readonly endpoint?: string;
  /** Milliseconds for one call, its repetitions included. */
  readonly timeout: number;
}

/** Whether SES has seen the record in DNS itself; it signs once it has. */
export type SesStatus = 'PENDING' | 'SUCCESS' | 'FAILED' | 'TEMPORARY_FAILURE' | 'NOT_STARTED';

export interface SesIdentity {
  readonly signingEnabled: boolean;
  readonly status: SesStatus;
  /** `EXTERNAL`: a key that was given (BYODKIM); `AWS_SES`: Easy DKIM. */
  readonly origin: 'EXTERNAL' | 'AWS_SES';
  /** With `EXTERNAL`, the selector. */
  readonly tokens: readonly string[];
}

export interface SesKey {
  readonly selector: string;
  /** PKCS#8, DER, in base64: what stands between the lines of a PEM. */
  readonly privateKey: string;
}

export interface SesClient {
  /** Null where SES has no such identity. */
  identity(domain: string): Promise<SesIdentity | null>;
  create(domain: string, key: SesKey): Promise<void>;
  putKey(domain: string, key: SesKey): Promise<void>;
  /** Switches DKIM for the identity on or off. */
  setSigning(domain: string, enabled: boolean): Promise<void>;
}

/** Repetitions where SES throttles (one call a second for most of these) or fails; the first pause in milliseconds, then twice as long each. */
const retries = 4;
const firstPause = 300;

export function createSesClient({ region, endpoint, timeout, ...credentials }: SesOptions): SesClient {
  const aws = new AwsClient({ ...credentials, region, service: 'ses', retries, initRetryMs: firstPause });
  const base = endpoint ?? `https://email.${region}.amazonaws.com`;
  const path = (domain: string, rest = '') => `email/identities/${encodeURIComponent(domain)}${rest}`;

  async function call(
    method: string,
    at: string,
    body?: unknown,
  ): Promise<{ status: number; answer: unknown; type: string }> {
    const url = `${base.replace(/\/$/, '')}/${at}`;
    let response: Response;
    let text: string;
    try {
      response = await aws.fetch(url, {
        method,
        signal: AbortSignal.timeout(timeout),
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
      text = await response.text();
    } catch (error) {
      throw new Error(`Amazon SES cannot be asked (${method} ${url}): ${reasonOf(error, timeout)}.`);
    }
    let answer: unknown = null;
    try {
      answer = text === '' ? null : JSON.parse(text);
    } catch {
      // Not SES's own words: the status says what there is to say.
    }
    const type = (response.headers.get('x-amzn-errortype') ?? '').split(':')[0] ?? '';
    return { status: response.status, answer, type };
  }

  async function must(doing: string, method: string, at: string, body?: unknown): Promise<unknown> {
    const result = await call(method, at, body);
    if (result.status < 300) return result.answer;
    throw new Error(failure(doing, result));
  }

  const attributes = ({ selector, privateKey }: SesKey) => ({
    DomainSigningSelector: selector,
    DomainSigningPrivateKey: privateKey,
  });
  return {
    async identity(domain) {
      const result = await call('GET', `v2/${path(domain)}`);
      if (result.status === 404) return null;
      if (result.status >= 300) throw new Error(failure(`reading the identity ${domain}`, result));
      return readIdentity(result.answer, domain);
    },
    async create(domain, key) {
      await must(`adding the identity ${domain}`, 'POST', 'v2/email/identities', {
        EmailIdentity: domain,
        DkimSigningAttributes: attributes(key),
      });
    },
    async putKey(domain, key) {
      // This one call has kept the path of the first version of the API.
      await must(`handing over the key ${key.selector} of ${domain}`, 'PUT', `v1/${path(domain, '/dkim/signing')}`, {
        SigningAttributesOrigin: 'EXTERNAL',
        SigningAttributes: attributes(key),
      });
    },
    async setSigning(domain, enabled) {
      const doing = `switching ${enabled ? 'on' : 'off'} DKIM for ${domain}`;
      await must(doing, 'PUT', `v2/${path(domain, '/dkim')}`, { SigningEnabled: enabled });
    },
  };
}

const statuses: readonly string[] = ['PENDING', 'SUCCESS', 'FAILED', 'TEMPORARY_FAILURE', 'NOT_STARTED'];

function readIdentity(answer: unknown, domain: string): SesIdentity {
  const attributes = (answer as { DkimAttributes?: Record<string, unknown> } | null)?.DkimAttributes;
  const { Status: status, Tokens: tokens, SigningEnabled: enabled, SigningAttributesOrigin: origin } = attributes ?? {};
  if (typeof status !== 'string' || !statuses.includes(status))
    throw new Error(`Amazon SES's answer about ${domain} cannot be understood: it names no DKIM status.`);
  return {
    status: status as SesStatus,
    signingEnabled: enabled === true,
    origin: origin === 'EXTERNAL' ? 'EXTERNAL' : 'AWS_SES',
    tokens: Array.isArray(tokens) ? tokens.filter((token) => typeof token === 'string') : [],
  };
}

function failure(doing: string, { status, answer, type }: { status: number; answer: unknown; type: string }): string {
  const said = (answer as { message?: unknown; Message?: unknown } | null)?.message;
  const words = `${type === '' ? `status ${status}` : type}${typeof said === 'string' ? `: ${said.slice(0, 300)}` : ''}`;
  return `Amazon SES refused ${doing} (${words}).${adviceFor(status, type)}`;
}

function adviceFor(status: number, type: string): string {
  if (type === 'AccessDeniedException')
    return ' Allow these actions to the access key: ses:GetEmailIdentity, ses:PutEmailIdentityDkimSigningAttributes, ses:PutEmailIdentityDkimAttributes, and ses:CreateEmailIdentity where identities are to be added.';
  if (status === 403)
    return " Check accessKeyId, secretAccessKey and sessionToken, the region, and this machine's clock.";
  if (status === 429)
    return ' It is tried again later; many domains at once take their time, for SES allows about one such call a second.';
  if (status >= 500) return ' It is tried again later.';
  return '';
}

function reasonOf(error: unknown, timeout: number): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return `no answer within ${timeout / 1000} s`;
  const { cause } = error;
  return cause instanceof Error && cause.message !== '' ? cause.message : error.message;
}
