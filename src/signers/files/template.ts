/** Templates of settings: `{domain}` and the like in paths and lines of tables, filled in, and read back from what stands there. */

export type Values = Readonly<Record<string, string>>;

export interface Template {
  readonly text: string;
  /** The names in braces, each once. */
  readonly names: ReadonlySet<string>;
  /** @throws Error for a value that the template names and is not given. */
  fill(values: Values): string;
  /** The values that make the template this text; null where none do. White space counts as equal to other white space. */
  read(text: string): Values | null;
}

const placeholder = /\{([A-Za-z]+)\}/g;

/** @throws Error naming a placeholder that is none of `allowed`. */
export function parseTemplate(text: string, allowed: readonly string[]): Template {
  const names = new Set([...text.matchAll(placeholder)].map(([, name = '']) => name));
  for (const name of names) {
    if (!allowed.includes(name))
      throw new Error(`"${text}" names {${name}}; there are ${allowed.map((each) => `{${each}}`).join(', ')}`);
  }
  let pattern: RegExp | null = null;
  return {
    text,
    names,
    fill: (values) =>
      text.replaceAll(placeholder, (_, name: string) => {
        const value = values[name];
        if (value === undefined) throw new Error(`"${text}" names {${name}}, which has no value here`);
        return value;
      }),
    read(line) {
      pattern ??= patternOf(text);
      return pattern.exec(line)?.groups ?? null;
    },
  };
}

/** Each name's first place is a group; later places must hold the same. */
function patternOf(text: string): RegExp {
  const seen = new Set<string>();
  const pieces = text.split(placeholder).map((piece, index) => {
    if (index % 2 === 0) return literal(piece);
    if (seen.has(piece)) return `\\k<${piece}>`;
    seen.add(piece);
    return `(?<${piece}>${piece === 'domain' ? '[A-Za-z0-9._-]+' : '.+?'})`;
  });
  return new RegExp(`^\\s*${pieces.join('')}\\s*$`);
}

function literal(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/\s+/g, '\\s+');
}
