/** Tables, colours and times for people. Machines get `--json` and nothing of this. */
import type { Terminal } from './terminal.ts';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'magenta' | 'cyan';

const codes: Readonly<Record<Style, readonly [on: number, off: number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
};

export type Paint = (style: Style, text: string) => string;

/** Colours where the terminal shows them, plain text elsewhere. */
export function painter(terminal: Pick<Terminal, 'color'>): Paint {
  if (!terminal.color) return (_style, text) => text;
  return (style, text) => `\x1b[${codes[style][0]}m${text}\x1b[${codes[style][1]}m`;
}

/** Columns as wide as their widest cell, the last one left ragged; nothing where there are no rows. */
export function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>, paint: Paint): string {
  if (rows.length === 0) return '';
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => visibleLength(row[i] ?? ''))));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === cells.length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) - visibleLength(cell))))
      .join('  ')
      .trimEnd();
  return `${[paint('dim', line(head)), ...rows.map(line)].join('\n')}\n`;
}

/** Length without colour codes. */
export function visibleLength(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with the escape character
  return text.replace(/\x1b\[\d+m/g, '').length;
}

/** Pieces side by side in lines of at most so many columns; a piece is never broken. */
export function flow(pieces: readonly string[], columns: number, gap: string): string[] {
  const lines: string[] = [];
  for (const piece of pieces) {
    const line = lines.at(-1);
    if (line !== undefined && visibleLength(line + gap + piece) <= columns)
      lines[lines.length - 1] = line + gap + piece;
    else lines.push(piece);
  }
  return lines;
}

/** `2026-11-24 18:52` UTC; with seconds where the moments shown lie close together. */
export function moment(at: number, precise = false): string {
  return new Date(at)
    .toISOString()
    .slice(0, precise ? 19 : 16)
    .replace('T', ' ');
}

/** Text that came from outside, made harmless for a terminal: control characters shown, not sent. */
export function harmless(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

export function printJson(terminal: Terminal, value: unknown): void {
  terminal.out(`${JSON.stringify(value)}\n`);
}
