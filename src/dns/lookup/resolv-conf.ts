/** The system's recursive resolvers. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';

/** Addresses of the `nameserver` lines; resolv.conf(5) has no ports. */
export function parseResolvConf(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [keyword, address = ''] = line.trim().split(/\s+/);
    return keyword === 'nameserver' && isIP(address.replace(/%.*$/, '')) !== 0 ? [address] : [];
  });
}

/** Those of `/etc/resolv.conf`; the loopback address where the file is missing or names none, as the C library has it. */
export function systemResolvers(path = '/etc/resolv.conf'): string[] {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    // No such file: the default below.
  }
  const servers = parseResolvConf(text);
  return servers.length > 0 ? servers : ['127.0.0.1'];
}
