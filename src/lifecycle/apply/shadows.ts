/** What a main domain knows of its shadows, so that no selector is given out twice: its own compare-and-set decides every race. */
import type { Applied } from '../apply.ts';
import { markedBy } from '../shadow-token.ts';
import type { OperatorOutcome, Snapshot } from '../types.ts';

export function applyShadow(
  snapshot: Snapshot,
  outcome: Extract<OperatorOutcome, { kind: 'shadow-added' | 'selector-reserved' }>,
): Applied {
  const { domain, keys } = snapshot;
  if (domain.kind !== 'mail') return { snapshot, refused: 'not-its-shadow' };
  const { shadows = [], reserved = {} } = domain;
  if (outcome.kind === 'shadow-added') {
    if (shadows.includes(outcome.shadow)) return { snapshot, refused: 'already-so' };
    if (domain.removingAt !== null) return { snapshot, refused: 'removing' };
    return { snapshot: { ...snapshot, domain: { ...domain, shadows: [...shadows, outcome.shadow] } } };
  }
  const { selector, shadow } = outcome;
  if (!shadows.includes(shadow)) return { snapshot, refused: 'not-its-shadow' };
  const marked = markedBy(domain, selector);
  if (reserved[selector] === shadow || marked === shadow) return { snapshot, refused: 'already-so' };
  if (marked !== null || reserved[selector] !== undefined || keys.some((key) => key.selector === selector))
    return { snapshot, refused: 'selector-taken' };
  return { snapshot: { ...snapshot, domain: { ...domain, reserved: { ...reserved, [selector]: shadow } } } };
}
