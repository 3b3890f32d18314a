/** Values that can be written as JSON and read back the same. */
import { StoreError } from './errors.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * One text for one value: keys sorted by UTF-16 code units, no white space, numbers as ECMAScript writes them (as in
 * RFC 8785). Members that are `undefined` are left out; anything else that JSON cannot hold is refused, so that no
 * key object or buffer slips into the journal.
 */
export function canonicalJson(value: unknown): string {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value);
    case 'number':
      if (Number.isFinite(value)) return JSON.stringify(value);
      break;
    case 'object': {
      if (value === null) return 'null';
      if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
      const prototype: unknown = Object.getPrototypeOf(value);
      if (prototype !== Object.prototype && prototype !== null) break;
      const members = Object.entries(value).filter(([, v]) => v !== undefined);
      members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      return `{${members.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(',')}}`;
    }
  }
  const what = typeof value === 'object' ? (value?.constructor?.name ?? 'object') : String(value);
  throw new StoreError('invalid', `A value of kind ${what} cannot be stored as JSON.`, 'Hand in plain data only.');
}
