/** Selectors of shadows and of their main domain share one namespace in DNS: each shadow's bear a mark that is its own. */
import type { DomainView } from './types.ts';

/** Longer marks would crowd out what the policy's template says. */
const LONGEST = 20;

/**
 * The mark of a shadow in the selectors of its keys: what its name adds to the main domain's where that is a short label
 * (`dkim-backup1.example.com` → `dkim-backup1`), else a part of its name and a number made of all of it. Two shadows of one domain
 * never have the same.
 */
export function shadowToken(shadow: string, main: string): string {
  const own = shadow.endsWith(`.${main}`) ? shadow.slice(0, -main.length - 1) : shadow;
  // A label that ends like a mark of the other form would be taken for one.
  if (own.length <= LONGEST && /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(own) && !/-x[0-9a-f]{8}$/.test(own)) return own;
  const readable = own.replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '');
  return `${readable.slice(0, LONGEST - 10).replace(/-+$/, '') || 's'}-x${hash(shadow)}`;
}

/** The shadow of this domain by whose mark a selector ends; null where it bears none. The longest mark decides. */
export function markedBy({ name, shadows = [] }: DomainView, selector: string): string | null {
  let best: string | null = null;
  let length = 0;
  for (const shadow of shadows) {
    const token = shadowToken(shadow, name);
    if (selector.endsWith(`-${token}`) && token.length > length) [best, length] = [shadow, token.length];
  }
  return best;
}

/** The shadow of this domain that has the selector, by its mark or by a reservation; null where it is the domain's own to use. */
export function ownerOfSelector(domain: DomainView, selector: string): string | null {
  return domain.reserved?.[selector] ?? markedBy(domain, selector);
}

/** FNV-1a over 32 bits, eight hexadecimal digits. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return (value >>> 0).toString(16).padStart(8, '0');
}
