/**
 * Shadow domains of a main domain. Their records stand at the main domain, where selectors must not meet: a shadow's bear its mark, and
 * any other is reserved in the main domain's own snapshot first, whose compare-and-set decides between all who want it.
 */
import type { Refusal } from '../lifecycle/apply.ts';
import { markedBy } from '../lifecycle/shadow-token.ts';
import type { DomainView, Outcome } from '../lifecycle/types.ts';
import type { NewSecret } from '../store/store.ts';
import { type AddDomainResult, addDomain, mark, type Operator } from './operations.ts';

export type AddShadowResult =
  | AddDomainResult
  | { readonly kind: 'no-main' }
  | { readonly kind: 'refused'; readonly why: Refusal };

export interface NewShadow {
  readonly name: string;
  readonly of: string;
  readonly policy: string;
  /** More of it in the same transaction, such as imported keys; their selectors are reserved. */
  readonly also?: (now: number) => readonly Outcome[];
  readonly selectors?: readonly string[];
  readonly secrets?: readonly NewSecret[];
}

/** Adds a shadow of a domain that is in care. The main domain learns of it first: what a crash leaves then is a mark that nobody uses. */
export async function addShadow(operator: Operator, shadow: NewShadow): Promise<AddShadowResult> {
  const known = await mark(operator, shadow.of, { kind: 'shadow-added', shadow: shadow.name });
  if (known.kind === 'unknown-domain') return { kind: 'no-main' };
  if (known.kind === 'refused' && known.why !== 'already-so') return known;
  for (const selector of shadow.selectors ?? []) {
    const refused = await reserveAt(operator, shadow.of, shadow.name, selector);
    if (refused !== null) return refused;
  }
  return addDomain(operator, {
    name: shadow.name,
    kind: 'shadow',
    shadowOf: shadow.of,
    policy: shadow.policy,
    bindings: [],
    ...(shadow.also === undefined ? {} : { also: shadow.also }),
    ...(shadow.secrets === undefined ? {} : { secrets: shadow.secrets }),
  });
}

/**
 * Sees that no other key under the main domain has, or ever gets, a selector that a key of this domain is to have; to be called before
 * the key is added. Null where it may be used; domains that are no shadows of another need no reservation.
 */
export async function reserveSelector(
  operator: Operator,
  { name, shadowOf }: DomainView,
  selector: string,
): Promise<{ readonly kind: 'refused'; readonly why: Refusal } | null> {
  return shadowOf === undefined ? null : reserveAt(operator, shadowOf, name, selector);
}

async function reserveAt(operator: Operator, main: string, shadow: string, selector: string) {
  if (operator.dryRun === true) return wouldRefuse(operator, main, shadow, selector);
  const result = await mark(operator, main, { kind: 'selector-reserved', selector, shadow });
  return result.kind === 'refused' && result.why !== 'already-so' ? result : null;
}

/** The shadow may not be among the main domain's yet: nothing was written. */
async function wouldRefuse({ store }: Operator, main: string, shadow: string, selector: string) {
  const stored = await store.snapshot(main);
  if (stored === null) return null;
  const { domain, keys } = stored.snapshot;
  const owner = domain.reserved?.[selector] ?? markedBy(domain, selector);
  const isTaken = owner !== shadow && (owner !== null || keys.some((key) => key.selector === selector));
  return isTaken ? ({ kind: 'refused', why: 'selector-taken' } as const) : null;
}
