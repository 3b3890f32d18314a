/**
 * Domain names as text: presentation form (RFC 1035 §5.1, RFC 4343) without the trailing dot; the root is `.`.
 * Octets are kept exactly: what is not a plain printable character is written `\DDD`, a dot inside a label `\.`.
 */
import { WireError } from './error.ts';

const special = new Set('.\\"();@$');

/** How each octet is written inside a label. */
const octetText: readonly string[] = Array.from({ length: 256 }, (_, octet) => {
  if (octet < 0x21 || octet > 0x7e) return `\\${String(octet).padStart(3, '0')}`;
  const char = String.fromCharCode(octet);
  return special.has(char) ? `\\${char}` : char;
});

/** The text of one label's octets. */
export function labelText(bytes: Uint8Array, start = 0, end = bytes.length): string {
  let text = '';
  for (let i = start; i < end; i++) text += octetText[bytes[i] ?? 0];
  return text;
}

/**
 * The labels of a name, as octets. A trailing dot is allowed; `.` and the empty string are the root.
 * Throws {@link WireError} for empty labels, labels over 63 octets, names over 255 octets on the wire (RFC 1035 §3.1),
 * broken escapes, and characters outside ASCII (names are given as A-labels, RFC 5890).
 */
export function nameLabels(name: string): Uint8Array[] {
  if (name === '.' || name === '') return [];
  const labels: Uint8Array[] = [];
  let label: number[] = [];
  let total = 1;
  const endLabel = (): void => {
    if (label.length === 0) throw new WireError('bad-name', `the name "${name}" has an empty label`);
    if (label.length > 63) throw new WireError('bad-name', `the name "${name}" has a label of more than 63 octets`);
    total += label.length + 1;
    if (total > 255) throw new WireError('bad-name', `the name "${name}" is longer than 255 octets`);
    labels.push(Uint8Array.from(label));
    label = [];
  };
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code === 0x2e) {
      endLabel();
    } else if (code === 0x5c) {
      const digits = /^\d{3}/.exec(name.slice(i + 1, i + 4))?.[0];
      const octet = digits === undefined ? name.charCodeAt(i + 1) : Number(digits);
      // NaN at the end of the name, an octet over 255, a lone digit after the backslash, or a character outside ASCII.
      const valid = digits === undefined ? octet <= 0x7e && !(octet >= 0x30 && octet <= 0x39) : octet <= 255;
      if (!valid) throw new WireError('bad-name', `the name "${name}" has a broken escape`);
      label.push(octet);
      i += digits === undefined ? 1 : 3;
    } else {
      if (code > 0x7f) {
        throw new WireError('bad-name', `the name "${name}" has characters outside ASCII: write it as A-labels (xn--)`);
      }
      label.push(code);
    }
  }
  if (label.length > 0) endLabel();
  return labels;
}

/** The one spelling of a name: canonical escapes, no trailing dot. Throws as {@link nameLabels} does. */
export function normalizeName(name: string): string {
  const labels = nameLabels(name);
  return labels.length === 0 ? '.' : labels.map((label) => labelText(label)).join('.');
}

/** The key of a name: normalized, ASCII letters in lower case (RFC 4343). Use it in maps. Throws as {@link nameLabels} does. */
export function nameKey(name: string): string {
  const plain = /^[\w-]+(?:\.[\w-]+)*$/.test(name) && name.length <= 63;
  return lower(plain ? name : normalizeName(name));
}

/** Whether two names are the same, without regard to the case of ASCII letters. */
export function sameName(a: string, b: string): boolean {
  return a === b || nameKey(a) === nameKey(b);
}

/** The name without its first label; null for the root. */
export function parent(name: string): string | null {
  const labels = nameLabels(name);
  if (labels.length === 0) return null;
  return labels.length === 1
    ? '.'
    : labels
        .slice(1)
        .map((label) => labelText(label))
        .join('.');
}

/** Whether `name` is `ancestor` or lies beneath it. */
export function isSubdomain(name: string, ancestor: string): boolean {
  const key = nameKey(name);
  const above = nameKey(ancestor);
  if (above === '.' || key === above) return true;
  if (!key.endsWith(`.${above}`)) return false;
  // The dot before the ancestor must separate labels: an escaped one belongs to a label (`a\.example.com`).
  const before = key.slice(0, key.length - above.length - 1);
  return (/\\*$/.exec(before)?.[0].length ?? 0) % 2 === 0;
}

/** The number of labels; the root has none. */
export function labelCount(name: string): number {
  return nameLabels(name).length;
}

function lower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
