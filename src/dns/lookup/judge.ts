/** From what a server served to a verdict, and from many verdicts to one. Pure. */
import { parseTagList, withoutFolds } from '../../dkim/tag-list.ts';
import type { Verdict } from '../../lifecycle/types.ts';

/** What a name is expected to serve. Values are joined TXT strings, one character an octet. */
export type Expected =
  /** With `anyForm`, any record that lets receivers verify mail with this key: somebody else wrote it, with flags of his own. */
  | { readonly kind: 'key'; readonly value: string; readonly anyForm?: boolean }
  /** An empty `p=`; with `value`, written so or in any other way that means the same. */
  | { readonly kind: 'revoked'; readonly value?: string }
  | { readonly kind: 'absent' };

export interface Judgement {
  readonly verdict: Verdict;
  readonly detail?: string;
}

/** Judges the TXT values at a name; none of them means that the name, or TXT there, does not exist. */
export function judgeValues(values: readonly string[], expected: Expected): Judgement {
  const [value] = values;
  if (value === undefined) return { verdict: expected.kind === 'absent' ? 'seen' : 'missing' };
  if (values.length > 1) {
    const detail = `${values.length} TXT records stand there; a selector has exactly one (RFC 6376 section 3.6.2.2)`;
    return { verdict: 'several', detail };
  }
  const revoked = isRevoked(value);
  if (expected.kind === 'absent') return { verdict: revoked ? 'revoked' : 'mismatched' };
  if (value === expected.value) return { verdict: 'seen' };
  if (expected.kind === 'revoked') return { verdict: revoked ? 'seen' : 'mismatched' };
  if (revoked) return { verdict: 'revoked' };
  if (sameMeaning(value, expected.value)) {
    return { verdict: 'seen', detail: 'the same key, with its tags written in another way' };
  }
  if (expected.anyForm === true && servesSameKey(value, expected.value)) {
    return { verdict: 'seen', detail: 'the same key, in a record that was not written here' };
  }
  return { verdict: 'mismatched' };
}

/**
 * Whether a record holds the key of another and can be used for mail with SHA-256 (RFC 6376 section 3.6.1): flags such as `t=s`, and `s=email`
 * or `h=sha256`, are the owner's business.
 */
function servesSameKey(record: string, wanted: string): boolean {
  const [there, expected] = [meaning(record), meaning(wanted)];
  if (there === null || expected === null) return false;
  const lists = (name: string, one: string) => there.get(name)?.split(':').includes(one) ?? true;
  return (
    there.get('p') === expected.get('p') &&
    there.get('k') === expected.get('k') &&
    there.get('v') === undefined &&
    (lists('s', 'email') || lists('s', '*')) &&
    lists('h', 'sha256')
  );
}

/** Whether a key record says that its key is withdrawn: `p=` is there and empty (RFC 6376 section 3.6.1). */
export function isRevoked(record: string): boolean {
  return meaning(record)?.get('p') === '';
}

/** Whether two key records say the same: the same tags but for order, white space, notes and defaults. */
export function sameMeaning(a: string, b: string): boolean {
  const [left, right] = [meaning(a), meaning(b)];
  if (left === null || right === null || left.size !== right.size) return false;
  return [...left].every(([name, value]) => right.get(name) === value);
}

/** Tags by name, with the defaults of RFC 6376 section 3.6.1 left out, and `n=`, which is for people. */
function meaning(record: string): ReadonlyMap<string, string> | null {
  const parsed = parseTagList(record);
  if (!parsed.ok) return null;
  // "v=" counts only in front; elsewhere the record is not one at all.
  if (parsed.tags.some(({ name }, index) => name === 'v' && index > 0)) return null;
  const defaults: Readonly<Record<string, string>> = { v: 'DKIM1', k: 'rsa', s: '*' };
  return new Map(
    parsed.tags
      .map(({ name, value }) => [name, withoutFolds(value)] as const)
      .filter(([name, value]) => name !== 'n' && defaults[name] !== value),
  );
}

/**
 * When servers differ, what is definitely wrong comes before what may be wrong: data that nobody should see, then data
 * that is not there, then servers that did not say.
 */
const worstFirst: readonly Verdict[] = ['bogus', 'several', 'mismatched', 'revoked', 'missing', 'unreachable'];

/** One verdict of many: `seen` only where there is at least one and all are. */
export function overallVerdict(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.length === 0) return 'unreachable';
  return worstFirst.find((verdict) => verdicts.includes(verdict)) ?? 'seen';
}
