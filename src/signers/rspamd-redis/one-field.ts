/** `SELECTOR.DOMAIN` is one field, whichever dot parts the two: `s1.mail` of example.com is `s1` of mail.example.com. */
import type { RedisConnection } from './connection.ts';
import { many, type OneKeyHashes } from './one-key-state.ts';

/** Every other way to read the field: pairs of domain and selector. */
export function sameField(
  domain: string,
  selector: string,
): ReadonlyArray<{ readonly domain: string; readonly selector: string }> {
  const below = selector.split('.');
  const above = domain.split('.');
  const longer = below.slice(1).map((_, index) => ({
    domain: [...below.slice(index + 1), domain].join('.'),
    selector: below.slice(0, index + 1).join('.'),
  }));
  // A top-level domain has no mail of its own.
  const shorter = above.slice(0, -2).map((_, index) => ({
    domain: above.slice(index + 1).join('.'),
    selector: [selector, ...above.slice(0, index + 1)].join('.'),
  }));
  return [...longer, ...shorter];
}

/** Why the selector cannot be used for this domain here, or null. */
export async function collision(
  redis: RedisConnection,
  hashes: OneKeyHashes,
  domain: string,
  selector: string,
): Promise<string | null> {
  const others = sameField(domain, selector);
  if (others.length === 0) return null;
  const names = others.map((other) => other.domain);
  const inUse = await many(redis, hashes.selectors, names);
  const marks = await many(redis, hashes.marks, names);
  const index = others.findIndex((other, at) => {
    const used = inUse[at] ?? null;
    // A dotted selector of ours would stand in the way of any key that the other domain is given later.
    if (other.domain.length > domain.length && used !== null) return true;
    return used === other.selector || (marks[at] ?? '').includes(`"${other.selector}":`);
  });
  const other = others[index];
  if (other === undefined) return null;
  return `The selector ${selector} of ${domain} and ${other.selector} of ${other.domain} would be one and the same entry in ${redis.name}; choose a selector without dots in it (\`selector\` of the policy).`;
}
