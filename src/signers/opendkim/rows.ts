/** Rows of OpenDKIM's tables, whoever wrote them (opendkim.conf(5), KeyTable and SigningTable). */

export interface KeyRow {
  readonly name: string;
  /** `%` is the domain of the author. */
  readonly domain: string;
  readonly selector: string;
  /** A path, or the key itself. */
  readonly key: string;
}

export function readKeyRow(line: string): KeyRow | null {
  const [, name, domain, selector, key] = /^\s*(\S+)\s+([^\s:]+):([^\s:]+):(\S.*?)\s*$/.exec(line) ?? [];
  if (name === undefined || domain === undefined || selector === undefined || key === undefined) return null;
  return { name, domain: domain.toLowerCase(), selector, key };
}

export function ownerOfKey(line: string): string | null {
  return readKeyRow(line)?.domain ?? null;
}

/** The name of the key that a row signs with. */
export function keyNameOf(line: string): string | null {
  return /^\s*\S+\s+(\S+)/.exec(line)?.[1] ?? null;
}

/** `*@example.com`, `user@example.com`, `example.com` and `.example.com` are about example.com. */
export function ownerOfPattern(line: string): string | null {
  const pattern = /^\s*(\S+)\s+\S/.exec(line)?.[1];
  const domain = pattern
    ?.slice(pattern.lastIndexOf('@') + 1)
    .replace(/^\./, '')
    .toLowerCase();
  return domain === undefined || domain === '' ? null : domain;
}
