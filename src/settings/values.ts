/** The small kinds of value that settings are made of. Each says in its error what it expects. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { formatDuration, parseDuration } from './durations.ts';

/** A duration in milliseconds, written `14d`, `90s`, `1h30m`. */
export const duration = z
  .union([z.string(), z.number()], { error: 'expected a duration such as 90s, 15m, 12h or 14d' })
  .transform((value, context) => {
    const parsed = parseDuration(String(value));
    if (parsed === null) {
      const unit = typeof value === 'number' ? ` (${value} what? write ${value}s or ${value}d)` : '';
      context.addIssue({ code: 'custom', message: `expected a duration such as 90s, 15m, 12h or 14d${unit}` });
      return z.NEVER;
    }
    return parsed;
  });

/** A duration that lies between two others, in milliseconds. */
export function durationBetween(least: number, most: number) {
  return duration.refine((value) => value >= least && value <= most, {
    error: `expected a duration between ${formatDuration(least)} and ${formatDuration(most)}`,
  });
}

/** Changed by every server that a message passes: a signature over them would not live to its receiver (RFC 6376 section 5.4.1). */
const unsignable = ['return-path', 'received', 'dkim-signature', 'authentication-results'];

/** The name of a header field (RFC 5322 section 3.6.8), kept in lower case. */
export const headerName = z
  .string()
  .regex(/^[!-9;-~]{1,76}$/, 'expected the name of a header field, such as Subject')
  .transform((value) => value.toLowerCase())
  .refine((value) => !unsignable.includes(value), {
    error: ({ input }) => `${String(input)} cannot be signed: every server on the way changes it`,
  });

/** A name of ours: policies, publishers, streams, instances. */
export const name = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, 'expected a name of lower-case letters, digits, dots and hyphens');

/** A domain name, kept in lower case without its final dot. */
export const hostName = z
  .string()
  .transform((value) => value.toLowerCase().replace(/\.$/, ''))
  .refine(isDomainName, { error: 'expected a domain name such as example.com' });

/** `1.2.3.4:53`, `[2001:db8::1]:53`, `ns1.example.net`, `ns1.example.net:5300`. */
export const socketAddress = z.string().refine((value) => splitAddress(value, 53) !== null, {
  error: 'expected an address such as 192.0.2.1:53 or [2001:db8::1]:53',
});

/** `inet:HOST:PORT` or `unix:PATH`. */
export const endpoint = z
  .string()
  .regex(/^(?:unix:.+|inet6?:.+:\d+|inet:\d+)$/, 'expected inet:127.0.0.1:8891 or unix:/run/keyturn/milter.sock');

/** An address or a network in CIDR form. */
export const network = z
  .string()
  .refine(isNetwork, { error: 'expected a network such as 192.0.2.0/24, 10.0.0.1 or 2001:db8::/32' });

/** Labels of at most 63 octets, 253 in all, letters, digits, hyphens and underscores (RFC 1035 section 2.3.4; names in U-label form are not accepted). */
export function isDomainName(value: string): boolean {
  if (value.length === 0 || value.length > 253) return false;
  return value.split('.').every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/i.test(label));
}

function isNetwork(value: string): boolean {
  const [address = '', prefix, ...rest] = value.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}

/** Host and port of a written address; null where it is none. */
export function splitAddress(value: string, defaultPort: number): { host: string; port: number } | null {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(value);
  const plain = isIP(value) === 6 ? ([value, value, undefined] as const) : /^([^:\s]+)(?::(\d{1,5}))?$/.exec(value);
  const [, host, port] = bracketed ?? plain ?? [];
  if (host === undefined || (bracketed !== null && isIP(host) !== 6)) return null;
  if (isIP(host) === 0 && !isDomainName(host)) return null;
  const number = port === undefined ? defaultPort : Number(port);
  return number <= 65_535 ? { host, port: number } : null;
}
