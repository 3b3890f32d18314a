/** Asks the endpoint as a signer would, for its test of itself. */
import { request } from 'node:http';
import { request as requestTls } from 'node:https';
import { parseEndpoint } from '../milter/endpoint.ts';

const timeout = 5000;
/** Where it listens on every address, it is met on this machine's. */
const everywhere: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** `endpoint` is one of our own. @throws Error where there is no answer. */
export function readOverHttp(
  endpoint: string,
  path: string,
  token: string,
  tls: boolean,
): Promise<{ readonly status: number; readonly body: string }> {
  const where = parseEndpoint(endpoint);
  const address =
    where.kind === 'unix'
      ? { socketPath: where.path }
      : { host: everywhere[where.host] ?? where.host, port: where.port };
  return new Promise((resolve, reject) => {
    const options = { ...address, path, agent: false as const, timeout, headers: { 'X-Vault-Token': token } };
    // The certificate names the host by which others know it; here it is met by its socket.
    const asked = tls ? requestTls({ ...options, rejectUnauthorized: false }) : request(options);
    asked.once('timeout', () => asked.destroy(new Error(`no answer within ${timeout / 1000} s`)));
    asked.once('error', reject);
    asked.once('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.once('error', reject);
    });
    asked.end();
  });
}
