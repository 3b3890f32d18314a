/** What a person is asked to do, in each form in which zone files and DNS front ends want it. */
import { txtStrings } from '../wire/txt.ts';
import type { RecordChange, RecordInstructions } from './publisher.ts';

/** The forms of a change: for a deletion the value is empty and the zone file shows the line to take out. */
export function recordInstructions(change: RecordChange): RecordInstructions {
  const { name, desired } = change;
  if (desired === null) {
    return { action: 'delete', name, ttl: 0, value: '', strings: [], zoneFile: `; delete: ${name}. IN TXT` };
  }
  const { value, ttl } = desired;
  const strings = txtStrings(value);
  return { action: 'set', name, ttl, value, strings, zoneFile: zoneFileLines(name, ttl, strings) };
}

/** One line where there is one string, else parentheses with a string a line (RFC 1035 §5.1). */
function zoneFileLines(name: string, ttl: number, strings: readonly string[]): string {
  const head = `${name}. ${ttl} IN TXT`;
  const quoted = strings.map(quote);
  return quoted.length === 1 ? `${head} ${quoted[0]}` : `${head} (\n${quoted.map((q) => `  ${q}`).join('\n')} )`;
}

function quote(text: string): string {
  const escaped = text.replace(/["\\]|[^ -~]/g, (char) =>
    char === '"' || char === '\\' ? `\\${char}` : `\\${String(char.charCodeAt(0)).padStart(3, '0')}`,
  );
  return `"${escaped}"`;
}
