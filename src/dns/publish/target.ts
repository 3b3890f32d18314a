/**
 * Keys behind aliases: the domain's own DNS points at names in a zone that we may write, once and for ever, and every change
 * of a key is made there. The record that receivers ask for, and that is proved, stays `S._domainkey.D`.
 */
import type { Publisher } from './publisher.ts';

/** What the domain's DNS has to hold, as lines of a zone file: the DNAME for all selectors, or a CNAME for each. */
export interface AliasLines {
  readonly target: string;
  /** RFC 6672: `_domainkey.D` and nothing else may stand below it. */
  readonly dname: string;
  readonly cnames: readonly { readonly selector: string; readonly line: string }[];
}

const MARK = '._domainkey.';
/** RFC 1035 section 3.1 allows 255 octets on the wire: in text, without the final dot, 253. */
export const LONGEST_NAME = 253;

/**
 * Where the record of `S._domainkey.D` is written: `S.D.target`.
 * Null where that would be longer than DNS allows, or the name is not that of a key's record.
 */
export function targetName(recordName: string, target: string): string | null {
  const at = recordName.indexOf(MARK);
  if (at <= 0) return null;
  const name = `${recordName.slice(0, at)}.${recordName.slice(at + MARK.length)}.${target}`;
  return name.length <= LONGEST_NAME ? name : null;
}

/** The lines that a domain's DNS needs, for these selectors. */
export function aliasLines(domain: string, target: string, selectors: readonly string[]): AliasLines {
  return {
    target,
    dname: `_domainkey.${domain}. IN DNAME ${domain}.${target}.`,
    cnames: selectors.map((selector) => ({
      selector,
      line: `${selector}${MARK}${domain}. IN CNAME ${selector}.${domain}.${target}.`,
    })),
  };
}

/** The same publisher, writing below `target` what is asked for at the domain's own names. */
export function behindAliases(publisher: Publisher, target: string): Publisher {
  return {
    ...publisher,
    async apply(change, signal) {
      const name = targetName(change.name, target);
      if (name !== null) return publisher.apply({ ...change, name }, signal);
      const message = `Writing ${change.name} below ${target}: the name would be longer than the ${LONGEST_NAME} octets that DNS allows. Use a shorter target, or shorter selectors (the policy's selectors or selectorTemplate).`;
      return { kind: 'refused', message };
    },
  };
}
