/** Steps between canonical names (`nameKey`), fast for the plain ones that nearly all are. */
import { parent } from '../wire/name.ts';

/** The name without its first label; the root stays the root. */
export function above(name: string): string {
  if (name.includes('\\')) return parent(name) ?? '.';
  const dot = name.indexOf('.');
  return dot < 0 || dot === name.length - 1 ? '.' : name.slice(dot + 1);
}

/** The entry of the longest name in `map` that is `name` or lies above it. */
export function closest<V>(map: ReadonlyMap<string, V>, name: string): V | undefined {
  for (let current = name; ; current = above(current)) {
    const found = map.get(current);
    if (found !== undefined || current === '.') return found;
  }
}
