/** What makes a mail server's agent known: a token, and the lines for both sides. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { stringify } from 'yaml';
import { name as nameSetting, splitAddress } from '../../settings/values.ts';
import { AGENT_PORT } from '../config/agent-schema.ts';
import { type LoadedConfig, pathBeside } from '../config/load.ts';
import { errorText } from '../log.ts';
import { pinOfFile } from './follow/link.ts';
import { hashToken } from './service/authenticate.ts';

export type Enrolment =
  | {
      readonly kind: 'enrolled';
      readonly name: string;
      readonly token: string;
      readonly tokenHash: string;
      /** For keyturn.yaml. */
      readonly entry: string;
      /** The whole agent.yaml. */
      readonly agent: string;
      readonly notes: readonly string[];
    }
  | { readonly kind: 'bad-name' | 'bad-url' | 'no-address' };

/** Makes a token of 256 random bits; nothing is stored. */
export function enroll({ config, file }: LoadedConfig, name: string, givenUrl: string | undefined): Enrolment {
  if (!nameSetting.safeParse(name).success) return { kind: 'bad-name' };
  const url = givenUrl ?? usualUrl(config);
  if (url === null) return { kind: 'no-address' };
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) return { kind: 'bad-url' };
  const token = `kta_${randomBytes(32).toString('base64url')}`;
  const tokenHash = `sha256:${hashToken(token).toString('hex')}`;
  const notes: string[] = [];
  let pin: string | null = null;
  const { tls, listen } = config.agents;
  if (tls === undefined) notes.push('agents.tls names no certificate yet: without one, agent.yaml can hold no pin');
  else {
    try {
      pin = pinOfFile(pathBeside(file, tls.cert));
    } catch (error) {
      notes.push(`no pin: the certificate ${tls.cert} cannot be read (${errorText(error)})`);
    }
  }
  if (listen.length === 0)
    notes.push(`agents.listen is empty: no agent is served yet; set it, such as listen: ["0.0.0.0:${AGENT_PORT}"]`);
  if (config.signers.some((entry) => entry.name === name))
    notes.push(
      `there is a signer ${name} already: put this tokenHash into its entry, and the token before ends with it`,
    );
  const entry = stringify([{ kind: 'agent', name, tokenHash, signs: { domains: ['*'], streams: ['*'] } }]);
  const agent = stringify({
    control: { url, token, ...(pin === null ? {} : { pin }) },
    data: '/var/lib/keyturn-agent',
    milter: { listen: ['inet:127.0.0.1:8891'] },
  });
  return { kind: 'enrolled', name, token, tokenHash, entry, agent, notes };
}

/** Where the certificate's name would lead cannot be known; a listening address that is no wildcard can. */
function usualUrl({ agents: { listen, plainHttp } }: LoadedConfig['config']): string | null {
  for (const text of listen) {
    const address = splitAddress(text, AGENT_PORT);
    if (address === null) continue;
    const host = ['0.0.0.0', '::'].includes(address.host) ? hostname() : address.host;
    return `${plainHttp ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${address.port}`;
  }
  return null;
}
