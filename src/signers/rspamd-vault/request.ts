/** What a request of Vault's HTTP API asks for: `/v1/PATH/DOMAIN`, by a path of ours, in the shape of KV version 1 or 2. */

export interface VaultRequest {
  readonly stream: string;
  readonly domain: string;
  /** One key by its selector (KumoMTA); null for all of the stream (rspamd). */
  readonly selector: string | null;
  /** Version 2 has `data` behind the mount, and wraps its answer once more. */
  readonly version: 1 | 2;
}

const longest = 1024;
const name = /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * Reads the target of a request; null for anything else. `paths` are ours, without slashes at their ends, and the stream that each stands
 * for. Whatever comes before `/v1/` is a mail server's own prefix (Mailu's is `/internal/rspamd/vault`).
 */
export function readVaultRequest(target: string, paths: ReadonlyMap<string, string>): VaultRequest | null {
  if (target.length > longest) return null;
  const query = target.indexOf('?');
  const path = query === -1 ? target : target.slice(0, query);
  const start = path.indexOf('/v1/');
  if (start === -1) return null;
  const parts = path.slice(start + 4).split('/');
  return asked(parts, parts.length - 1, paths) ?? asked(parts, parts.length - 2, paths);
}

/** The request where the domain is the part of this number, and what follows it, if anything, a selector. */
function asked(parts: readonly string[], at: number, paths: ReadonlyMap<string, string>): VaultRequest | null {
  if (at < 1) return null;
  const domain = nameIn(parts[at]);
  const selector = at + 1 < parts.length ? nameIn(parts[at + 1]?.replace(/\.key$/, '')) : null;
  if (domain === null || (at + 1 < parts.length && selector === null)) return null;
  const before = parts.slice(0, at);
  const whole = paths.get(before.join('/'));
  if (whole !== undefined) return { stream: whole, domain, selector, version: 1 };
  const [mount = '', data, ...rest] = before;
  if (data !== 'data') return null;
  const stream = paths.get([mount, ...rest].join('/')) ?? paths.get(rest.join('/'));
  return stream === undefined ? null : { stream, domain, selector, version: 2 };
}

/** Names are compared in lower case, as DNS does; what is none is nobody's. */
function nameIn(part: string | undefined): string | null {
  const written = (part ?? '').toLowerCase().replace(/\.$/, '');
  return name.test(written) ? written : null;
}
