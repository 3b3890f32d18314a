/** Selectors: from the policy's template, and never used twice in a domain; or one of its slots that no key has any more. */
import type { Policy } from '../policy.ts';
import { ownerOfSelector, shadowToken } from '../shadow-token.ts';
import type { DomainView, KeyAlgorithm } from '../types.ts';
import type { Look } from './look.ts';
import type { Judged } from './stream.ts';

/** A DNS label's greatest length (RFC 1035 section 2.3.4). */
const LONGEST_LABEL = 63;

/** What a new key is called; null where every slot of the policy is taken. */
export function nextSelector(
  look: Look,
  judged: Judged,
  algorithm: KeyAlgorithm,
): { readonly selector: string; readonly slot?: true } | null {
  const { domain } = look.snapshot;
  const selectors = slotsOf(domain, judged.policy);
  if (selectors.length === 0) return { selector: fromTemplate(look, judged, algorithm) };
  // A removed key's record was proved to be gone from every server: what resolvers still remember of it, the new key waits for.
  const taken = (selector: string): boolean =>
    look.selectors.has(selector) ||
    ownerOfSelector(domain, selector) !== null ||
    look.snapshot.keys.some((key) => key.selector === selector && (key.state !== 'removed' || key.slot !== true));
  const selector = selectors.find((candidate) => !taken(candidate));
  if (selector === undefined) return null;
  look.selectors.add(selector);
  return { selector, slot: true };
}

/** The slots of the policy as the domain may use them: those of a shadow bear its mark, for they stand beside its main domain's. */
export function slotsOf({ name, shadowOf }: DomainView, { selectors = [] }: Policy): readonly string[] {
  return shadowOf === undefined ? selectors : selectors.map((slot) => `${slot}-${shadowToken(name, shadowOf)}`);
}

/** How many slots let a stream rotate without waiting for the tombstones of the keys before. */
export function slotsNeeded({ keys, standby }: Policy): number {
  return keys.reduce((sum, { count }) => sum + (count > 0 ? 2 * (count + standby) : 0), 0);
}

/** The next free selector: at most 63 octets a label, letters, digits and hyphens (RFC 6376 section 3.1). */
function fromTemplate(look: Look, judged: Judged, algorithm: KeyAlgorithm): string {
  const { selectorTemplate } = judged.policy;
  const template = selectorTemplate.includes('{n}') ? selectorTemplate : `${selectorTemplate}{n}`;
  const bare = !selectorTemplate.includes('{n}');
  const { domain } = look.snapshot;
  const mark = domain.shadowOf === undefined ? '' : `-${shadowToken(domain.name, domain.shadowOf)}`;
  const date = new Date(look.now).toISOString().slice(0, 10).replaceAll('-', '');
  for (let n = 1; ; n++) {
    const selector = toLabels(
      template
        .replaceAll('{date}', date)
        .replaceAll('{algorithm}', algorithm === 'rsa' ? 'rsa' : 'ed')
        .replaceAll('{stream}', judged.stream.name),
      bare && n === 1 ? '' : String(n),
      mark,
    );
    if (look.selectors.has(selector) || ownerOfSelector(domain, selector) !== null) continue;
    if (look.snapshot.keys.some((key) => key.selector === selector)) continue;
    look.selectors.add(selector);
    return selector;
  }
}

/**
 * Puts the number in, a shadow's mark at the end, and makes labels of what is left; what is too long is cut before the number, which
 * makes it unique.
 */
function toLabels(text: string, n: string, mark: string): string {
  const labels = text
    .toLowerCase()
    .split('.')
    .map((label) => label.replace(/[^a-z0-9{}-]/g, '-').replace(/^-+|-+$/g, ''))
    .filter((label) => label !== '');
  const written = labels.length > 0 ? labels : ['k{n}'];
  return written
    .map((label, i) => {
      const end = i === written.length - 1 ? mark : '';
      const extra = label.includes('{n}') ? n : '';
      const [head = '', ...rest] = label.split('{n}');
      const tail = `${extra}${rest.join('').replace(/[{}]/g, '-')}${end}`;
      return `${head.replace(/[{}]/g, '-').slice(0, Math.max(1, LONGEST_LABEL - tail.length))}${tail}`.slice(
        0,
        LONGEST_LABEL,
      );
    })
    .map((label) => label.replace(/^-+|-+$/g, '') || 'k')
    .join('.');
}
