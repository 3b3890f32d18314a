/** Tag-lists, the `name=value; name=value` syntax of signatures and key records (RFC 6376 section 3.2). */

export interface Tag {
  readonly name: string;
  /** Without the white space around it; folds and spaces inside are kept. */
  readonly value: string;
}

export type TagListDefect =
  /** Nothing but white space. */
  | { readonly kind: 'empty' }
  /** Nothing between two semicolons, or before the first. */
  | { readonly kind: 'empty-tag'; readonly index: number }
  | { readonly kind: 'no-equals-sign'; readonly index: number }
  /** A tag name is a letter, then letters, digits and underscores. */
  | { readonly kind: 'bad-name'; readonly index: number }
  /** An octet that a value may not have: control or 8-bit. */
  | { readonly kind: 'bad-value'; readonly index: number; readonly tag: string }
  /** The same name twice makes the whole list invalid. */
  | { readonly kind: 'duplicate'; readonly index: number; readonly tag: string };

export type TagListResult =
  | { readonly ok: true; readonly tags: readonly Tag[] }
  | { readonly ok: false; readonly defect: TagListDefect };

const namePattern = /^[A-Za-z][A-Za-z0-9_]*$/;
/** VALCHAR is %x21-3A and %x3C-7E; white space may stand between them, line ends only as folds. */
const badValuePattern = /[^\t\n\r\x20-\x7e]|\r(?!\n)|\n(?![ \t])/;

/**
 * Parses strictly, keeping the order. `index` in a defect counts the tags from 0. Names keep their case: `V` is not `v`.
 * Two liberties are taken because no reader could be hurt by them: white space may follow the last semicolon, and a fold
 * may be a bare LF, as milters write it. Never throws.
 */
export function parseTagList(text: string): TagListResult {
  const specs = text.split(';');
  if (specs.length > 1 && trimFolds(specs.at(-1) ?? '') === '') specs.pop();
  if (specs.length === 1 && trimFolds(specs[0] ?? '') === '') return { ok: false, defect: { kind: 'empty' } };
  const tags: Tag[] = [];
  const seen = new Set<string>();
  for (const [index, spec] of specs.entries()) {
    const equals = spec.indexOf('=');
    if (equals < 0) {
      const kind = trimFolds(spec) === '' ? 'empty-tag' : 'no-equals-sign';
      return { ok: false, defect: { kind, index } };
    }
    const name = trimFolds(spec.slice(0, equals));
    if (!namePattern.test(name)) return { ok: false, defect: { kind: 'bad-name', index } };
    if (seen.has(name)) return { ok: false, defect: { kind: 'duplicate', index, tag: name } };
    seen.add(name);
    const value = spec.slice(equals + 1);
    if (badValuePattern.test(value)) return { ok: false, defect: { kind: 'bad-value', index, tag: name } };
    tags.push({ name, value: trimFolds(value) });
  }
  return { ok: true, tags };
}

/** What a tag-list's defect is, in words for a person. */
export function describeTagListDefect(defect: TagListDefect): string {
  const place = 'index' in defect ? `tag ${defect.index + 1}` : '';
  switch (defect.kind) {
    case 'empty':
      return 'it is empty';
    case 'empty-tag':
      return `${place} is empty: there is a semicolon too many`;
    case 'no-equals-sign':
      return `${place} has no equals sign`;
    case 'bad-name':
      return `${place} has a name that is not a letter followed by letters, digits and underscores`;
    case 'bad-value':
      return `${place} (${defect.tag}=) has a character that is not printable ASCII`;
    case 'duplicate':
      return `${place} repeats ${defect.tag}=`;
  }
}

/** Removes all white space and folds, as base64 values and colon-separated lists allow them anywhere. */
export function withoutFolds(value: string): string {
  return value.replace(/[ \t\r\n]+/g, '');
}

function trimFolds(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isFold(text.charCodeAt(start))) start++;
  while (end > start && isFold(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isFold(code: number): boolean {
  return code === 32 || code === 9 || code === 13 || code === 10;
}
