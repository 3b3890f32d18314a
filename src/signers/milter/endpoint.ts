/** Where a milter listens or is found, as Postfix writes it: `unix:/path`, `inet:host:port`; Sendmail's `local:`, `inet:port@host` too. */
import { isIP } from 'node:net';

export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** @throws Error saying how it is written. */
export function parseEndpoint(text: string): Endpoint {
  const path = /^(?:unix|local):(.+)$/.exec(text)?.[1] ?? (text.startsWith('/') ? text : undefined);
  if (path !== undefined) return { kind: 'unix', path };
  const inet = /^inet6?:(.+)$/.exec(text)?.[1];
  if (inet !== undefined) {
    const sendmail = /^(\d{1,5})@(.+)$/.exec(inet);
    const postfix = /^(?:(.+):)?(\d{1,5})$/.exec(inet);
    const port = Number(sendmail?.[1] ?? postfix?.[2] ?? Number.NaN);
    const written = sendmail?.[2] ?? postfix?.[1] ?? '127.0.0.1';
    const host = written.startsWith('[') && written.endsWith(']') ? written.slice(1, -1) : written;
    const isHost = isIP(host) !== 0 || /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/i.test(host);
    if (port <= 65_535 && isHost) return { kind: 'tcp', host, port };
  }
  throw new Error(`"${text}" is no milter socket; write it as unix:/run/keyturn/milter.sock or inet:127.0.0.1:8891`);
}

export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`;
  return `inet:${isIP(endpoint.host) === 6 ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;
}
