/** mailcow's DKIM calls with types. A write that answers success proves nothing: callers read back. */
import { type Api, type ApiOptions, createApi } from './request.ts';

/** What mailcow signs a domain with. */
export interface MailcowKey {
  readonly selector: string;
  /** SubjectPublicKeyInfo, base64: what belongs into `p=`. */
  readonly publicKey: string;
  /** PEM; null where the API does not show private keys (`SHOW_DKIM_PRIV_KEYS`), or where there is none. */
  readonly privateKey: string | null;
}

export interface MailcowClient {
  /** Null where the domain has no key. */
  key(domain: string): Promise<MailcowKey | null>;
  hasDomain(domain: string): Promise<boolean>;
  /** Every mail domain of mailcow. */
  domains(): Promise<readonly string[]>;
  /** A mail domain that holds keys and nothing else: no mailboxes, not in the global address list, not active. */
  addShadow(domain: string, description: string): Promise<void>;
  makeKey(domain: string, selector: string, bits: number): Promise<void>;
  /** Overwrites the key of `to` without asking, selector and all; private halves under other selectors stay there. */
  duplicate(from: string, to: string): Promise<void>;
  /** The private key stands in mailcow's API log afterwards. Refuses a domain that has a key. */
  importKey(domain: string, selector: string, privateKey: string): Promise<void>;
  deleteKey(domain: string): Promise<void>;
  close(): void;
}

export function createMailcowClient(options: ApiOptions): MailcowClient {
  const api: Api = createApi(options);
  return {
    async key(domain) {
      const answer = fields(await api.get(`get/dkim/${encodeURIComponent(domain)}`), domain);
      const { pubkey, dkim_selector: selector, privkey } = answer;
      if (typeof pubkey !== 'string' || pubkey === '') return null;
      const pem = typeof privkey === 'string' ? Buffer.from(privkey, 'base64').toString('latin1') : '';
      return {
        // mailcow answers false where a domain has a public key and no selector.
        selector: typeof selector === 'string' ? selector : '',
        publicKey: pubkey.replaceAll(/\s+/g, ''),
        privateKey: pem === '' ? null : pem,
      };
    },
    async hasDomain(domain) {
      const { domain_name: name } = fields(await api.get(`get/domain/${encodeURIComponent(domain)}`), domain);
      return name === domain;
    },
    async domains() {
      const answer = await api.get('get/domain/all');
      const list = Array.isArray(answer) ? answer : Object.values(fields(answer, 'all domains'));
      return list.flatMap((row: unknown) => {
        const name = typeof row === 'object' && row !== null ? (row as { domain_name?: unknown }).domain_name : null;
        return typeof name === 'string' ? [name] : [];
      });
    },
    addShadow: (domain, description) =>
      api.post('add/domain', {
        domain,
        description,
        gal: 0,
        active: 0,
        aliases: 0,
        mailboxes: 0,
        defquota: 1,
        maxquota: 1,
        quota: 1,
        backupmx: 0,
        relay_all_recipients: 0,
        restart_sogo: 0,
        // Without a key of its own: the key is made by a call that names its selector.
        key_size: 0,
        dkim_selector: '',
      }),
    makeKey: (domain, selector, bits) =>
      api.post('add/dkim', { domains: domain, dkim_selector: selector, key_size: bits }),
    duplicate: (from, to) => api.post('add/dkim_duplicate', { from_domain: from, to_domain: to }),
    importKey: (domain, selector, privateKey) =>
      api.post('add/dkim_import', {
        domain,
        dkim_selector: selector,
        private_key_file: privateKey,
        overwrite_existing: 0,
      }),
    deleteKey: (domain) => api.post('delete/dkim', [domain]),
    close: () => api.close(),
  };
}

/** PHP writes an empty list for an empty object. */
function fields(answer: unknown, what: string): Record<string, unknown> {
  if (Array.isArray(answer) && answer.length === 0) return {};
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer) || 'type' in answer) {
    const said = typeof answer === 'object' && answer !== null && 'msg' in answer ? `: ${String(answer.msg)}` : '';
    throw new Error(`mailcow's answer about ${what} cannot be understood${said.slice(0, 200)}.`);
  }
  return answer as Record<string, unknown>;
}
