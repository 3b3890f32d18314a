/** Which stream signs a message: rules in order, the first that matches wins. */
import type { HeaderField } from '../../dkim/types.ts';
import { glob } from './glob.ts';
import { networkList } from './networks.ts';

/** All conditions that are given must hold. Patterns are globs (`*`, `?`) without regard to case. */
export interface StreamRule {
  readonly stream: string;
  /** The authenticated user, `{auth_authen}`. */
  readonly user?: string | undefined;
  /** The envelope sender, without angle brackets. */
  readonly sender?: string | undefined;
  /** Address or network of the client. */
  readonly client?: string | undefined;
  /** Any field of this name whose value, unfolded, matches. */
  readonly header?: { readonly name: string; readonly value: string } | undefined;
  /** Only for this domain's mail. */
  readonly domain?: string | undefined;
}

/** What is known of a message beside its header and body. */
export interface Envelope {
  /** Null where the MTA did not say. */
  readonly clientAddress: string | null;
  /** It was handed over on the machine itself, not by network. */
  readonly isLocal: boolean;
  readonly user: string | null;
  readonly sender: string;
  readonly daemonName: string | null;
}

export interface StreamChooser {
  choose(domain: string, envelope: Envelope, headers: readonly HeaderField[]): string;
}

export const defaultStream = 'default';

/** @throws Error for a client that is no network. */
export function streamChooser(rules: readonly StreamRule[]): StreamChooser {
  const prepared = rules.map(prepare);
  return {
    choose: (domain, envelope, headers) =>
      prepared.find((rule) => rule.matches(domain, envelope, headers))?.stream ?? defaultStream,
  };
}

interface PreparedRule {
  readonly stream: string;
  matches(domain: string, envelope: Envelope, headers: readonly HeaderField[]): boolean;
}

function prepare(rule: StreamRule): PreparedRule {
  const domain = rule.domain?.toLowerCase();
  const user = rule.user === undefined ? undefined : glob(rule.user);
  const sender = rule.sender === undefined ? undefined : glob(rule.sender);
  const client = rule.client === undefined ? undefined : networkList([rule.client]);
  const header =
    rule.header === undefined ? undefined : { name: rule.header.name.toLowerCase(), matches: glob(rule.header.value) };
  return {
    stream: rule.stream,
    matches(of, envelope, headers) {
      if (domain !== undefined && domain !== of) return false;
      if (user !== undefined && !(envelope.user !== null && user(envelope.user))) return false;
      if (sender !== undefined && !sender(envelope.sender)) return false;
      if (client !== undefined && !(envelope.clientAddress !== null && client.contains(envelope.clientAddress))) {
        return false;
      }
      return (
        header === undefined || headers.some((field) => isNamed(field, header.name) && header.matches(value(field)))
      );
    },
  };
}

function isNamed(field: HeaderField, name: string): boolean {
  return field.name.length === name.length && field.name.toLowerCase() === name;
}

/** Unfolded, without the white space around it. */
function value(field: HeaderField): string {
  const { buffer, byteOffset, length } = field.raw;
  const text = Buffer.from(buffer, byteOffset, length).toString('latin1');
  return text
    .slice(text.indexOf(':') + 1)
    .replaceAll(/\r?\n/g, '')
    .trim();
}
