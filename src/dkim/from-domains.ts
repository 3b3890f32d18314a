/** The domains of a message's authors, from its From field (RFC 5322 sections 3.4 and 4.4; groups by RFC 6854). */
import type { HeaderField } from './types.ts';

export type FromDomains =
  /** One From field, one author domain (of however many addresses). */
  | { readonly kind: 'one'; readonly domain: string }
  /** One From field with addresses at several domains, each named once, in order. */
  | { readonly kind: 'several'; readonly domains: readonly string[] }
  /** More than one From field, which RFC 5322 forbids: the domains of all those that can be read. */
  | { readonly kind: 'repeated'; readonly count: number; readonly domains: readonly string[] }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly reason: FromDefect };

export type FromDefect =
  | 'no-address'
  | 'unclosed-quote'
  | 'unclosed-comment'
  | 'unclosed-bracket'
  | 'misplaced-character'
  | 'address-literal'
  | 'bad-domain';

/**
 * Domains are in lower case and ASCII form. Read as receivers read them: the address in angle brackets counts, never a
 * display name, a quoted string or a comment that looks like one. Words of a list that have no `@` (a display name with an
 * unquoted comma) are passed over. One pass, no recursion, never throws.
 */
export function fromDomains(headers: readonly HeaderField[]): FromDomains {
  const fields: HeaderField[] = [];
  for (const header of headers) {
    // White space before the colon is obsolete (RFC 5322 section 4.5.8), but receivers read such a From as well.
    if (header.name.length >= 4 && header.name.trimEnd().toLowerCase() === 'from') fields.push(header);
  }
  const [field, ...others] = fields;
  if (field === undefined) return { kind: 'missing' };
  if (others.length > 0) {
    const domains = new Set<string>();
    for (const each of fields) {
      const parsed = addressDomains(fieldValue(each));
      if (typeof parsed !== 'string') for (const domain of parsed) domains.add(domain);
    }
    return { kind: 'repeated', count: fields.length, domains: [...domains] };
  }
  const parsed = addressDomains(fieldValue(field));
  if (typeof parsed === 'string') return { kind: 'unreadable', reason: parsed };
  const [domain, ...more] = parsed;
  if (domain === undefined) return { kind: 'unreadable', reason: 'no-address' };
  return more.length === 0 ? { kind: 'one', domain } : { kind: 'several', domains: [domain, ...more] };
}

/** UTF-8, since internationalized addresses are written so (RFC 6532); other octets become U+FFFD and no domain. */
function fieldValue(field: HeaderField): string {
  const { raw } = field;
  const colon = raw.indexOf(58);
  return Buffer.from(raw.buffer, raw.byteOffset + colon + 1, raw.length - colon - 1).toString('utf8');
}

/** Stands for a quoted string in the text of an address, so that what is quoted cannot be taken for syntax. */
const quoted = '\u0001';

function addressDomains(value: string): readonly string[] | FromDefect {
  const domains = new Set<string>();
  let text = '';
  let angle: string | undefined;
  let inAngle = false;
  let inGroup = false;

  const endMailbox = (): FromDefect | undefined => {
    const address = angle ?? text;
    const bracketed = angle !== undefined;
    const trailing = bracketed && text.trim() !== '';
    text = '';
    angle = undefined;
    if (trailing) return 'misplaced-character';
    if (!bracketed && !address.includes('@')) return undefined;
    const result = addressDomain(address);
    if (!('domain' in result)) return result.defect;
    domains.add(result.domain);
    return undefined;
  };

  for (let i = 0; i < value.length; i++) {
    const character = value[i] as string;
    switch (character) {
      case '(': {
        const end = commentEnd(value, i);
        if (end < 0) return 'unclosed-comment';
        i = end;
        text += ' ';
        break;
      }
      case '"': {
        const end = quoteEnd(value, i);
        if (end < 0) return 'unclosed-quote';
        i = end;
        text += quoted;
        break;
      }
      case '[': {
        // Only an address has brackets with a meaning; in a display name they are a common liberty. No address is longer
        // than 1000 characters, and looking back at each of a million brackets would take a hostile message's side.
        if (text.length < 1000 && text.trimEnd().endsWith('@')) {
          const end = value.indexOf(']', i);
          if (end < 0) return 'unclosed-bracket';
          text += value.slice(i, end + 1);
          i = end;
        } else text += character;
        break;
      }
      case '<':
        if (inAngle || angle !== undefined) return 'misplaced-character';
        inAngle = true;
        text = '';
        break;
      case '>':
        if (!inAngle) return 'misplaced-character';
        inAngle = false;
        angle = text;
        text = '';
        break;
      case ',':
      case ';': {
        if (inAngle && character === ',') {
          text += character;
          break;
        }
        if (inAngle || (character === ';' && !inGroup)) return 'misplaced-character';
        const defect = endMailbox();
        if (defect !== undefined) return defect;
        if (character === ';') inGroup = false;
        break;
      }
      case ':':
        if (inAngle) text += character;
        else if (inGroup || angle !== undefined || text.includes('@')) return 'misplaced-character';
        else {
          inGroup = true;
          text = '';
        }
        break;
      default:
        text += character;
    }
  }
  if (inAngle) return 'unclosed-bracket';
  const defect = endMailbox();
  return defect ?? [...domains];
}

/** The domain of an addr-spec, after an obsolete route (`@a,@b:`), spaces around its parts allowed (RFC 5322 section 4.4). */
function addressDomain(address: string): { readonly domain: string } | { readonly defect: FromDefect } {
  let spec = address.trim();
  if (spec.startsWith('@')) spec = spec.slice(spec.indexOf(':') + 1);
  const at = spec.indexOf('@');
  if (at < 0) return { defect: 'no-address' };
  if (at === 0 || spec.indexOf('@', at + 1) >= 0) return { defect: 'misplaced-character' };
  const written = spec.slice(at + 1).trim();
  if (written.startsWith('[')) return { defect: 'address-literal' };
  const joined = written.includes(' ') || /\s/.test(written) ? joinLabels(written) : written;
  const domain = asciiDomain(joined.toLowerCase());
  return domain === undefined ? { defect: 'bad-domain' } : { domain };
}

function joinLabels(text: string): string {
  return text
    .split('.')
    .map((label) => label.trim())
    .join('.');
}

const domainPattern = /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/;

function asciiDomain(domain: string): string | undefined {
  if (domain.length > 253) return undefined;
  if (domainPattern.test(domain)) return domain;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the point is to tell ASCII from the rest
  if (/^[\x00-\x7f]*$/.test(domain) || /[\s/\\?#@:[\]%<>^|]/.test(domain)) return undefined;
  // The URL parser is the one implementation of UTS 46 at hand without an import.
  const url = URL.parse(`http://${domain}/`);
  return url !== null && domainPattern.test(url.hostname) ? url.hostname : undefined;
}

function quoteEnd(value: string, start: number): number {
  for (let i = start + 1; i < value.length; i++) {
    if (value[i] === '\\') i++;
    else if (value[i] === '"') return i;
  }
  return -1;
}

function commentEnd(value: string, start: number): number {
  let depth = 0;
  for (let i = start; i < value.length; i++) {
    if (value[i] === '\\') i++;
    else if (value[i] === '(') depth++;
    else if (value[i] === ')' && --depth === 0) return i;
  }
  return -1;
}
