/** Who may read which domains' keys: each reader has a token of its own. */
import { hash, timingSafeEqual } from 'node:crypto';

export interface Reader {
  readonly token: string;
  /** Names, `*.example.com` for everything below example.com, or `*`. */
  readonly domains: readonly string[];
}

export interface Readers {
  /** What the token opens; null where it opens nothing. Takes as long whichever token comes. */
  find(token: string | undefined): { may(domain: string): boolean } | null;
}

/** Shorter ones can be guessed. */
export const shortestToken = 16;

/** @throws Error where a token is too short, or two readers have the same. */
export function createReaders(readers: readonly Reader[]): Readers {
  const known = readers.map(({ token, domains }) => {
    if (token.length < shortestToken) {
      throw new Error(
        `a token has ${token.length} characters; it needs ${shortestToken} at least (\`openssl rand -hex 24\`)`,
      );
    }
    const names = new Set(domains.filter((pattern) => !pattern.startsWith('*')));
    const below = domains.filter((pattern) => pattern.startsWith('*.')).map((pattern) => pattern.slice(1));
    const all = domains.includes('*');
    const may = (domain: string) => all || names.has(domain) || below.some((end) => domain.endsWith(end));
    return { digest: digestOf(token), may };
  });
  if (new Set(readers.map(({ token }) => token)).size < readers.length)
    throw new Error('two readers have the same token');
  return {
    find(token) {
      if (token === undefined) return null;
      const given = digestOf(token);
      let found: { may(domain: string): boolean } | null = null;
      for (const reader of known) if (timingSafeEqual(reader.digest, given)) found = reader;
      return found;
    },
  };
}

function digestOf(token: string): Buffer {
  return hash('sha256', token, 'buffer');
}
