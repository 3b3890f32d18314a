/** `agent.yaml`: where the control plane is, by what the two know each other, and which signers there are on this machine. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { secret } from '../../../settings/secret.ts';
import { durationBetween } from '../../../settings/values.ts';
import { signerKinds } from '../../../signers/kinds.ts';
import { ConfigError, parseSettings, readConfig } from '../../config/load.ts';
import { logSettings, milterSettings } from '../../config/schema.ts';
import { signers } from '../../config/signer-schema.ts';

const url = z.url({ protocol: /^https?$/, error: 'expected an address such as https://keyturn.example.com:8843' });

const pin = z
  .string()
  .regex(/^sha256:[A-Za-z0-9+/]{43}=$/, 'expected sha256: and a hash in base64, as `keyturn agent enroll` prints it');

const control = z.strictObject({
  /** Of the control plane; several where there are several instances, tried in order. */
  url: z.union([url.transform((one) => [one]), z.array(url).min(1)]),
  token: secret.optional(),
  /** Of the public key of the server's certificate (SPKI, SHA-256, base64): whoever holds that key is believed, whatever its certificate says. */
  pin: z.union([pin.transform((one) => [one]), z.array(pin).min(1)]).optional(),
  /** Authorities of the server's certificate; by default those of the system. */
  ca: z.string().min(1).optional(),
  /** The certificate that this agent shows, and its key. */
  cert: z.string().min(1).optional(),
  key: z.string().min(1).optional(),
});

export const agentConfigSchema = z.strictObject({
  control,
  /** Folder of what must outlive a restart; by default /var/lib/keyturn-agent where it exists and ./.keyturn-agent elsewhere. */
  data: z.string().min(1).optional(),
  /** The built-in milter; left out where other programs sign. */
  milter: milterSettings.optional(),
  signers,
  /** How often what stands at each signer is compared with what it was given. */
  inspectEvery: durationBetween(1000, 7 * 86_400_000).prefault('5m'),
  log: logSettings,
});

export type AgentConfig = z.output<typeof agentConfigSchema>;

export interface LoadedAgentConfig {
  readonly file: string;
  readonly config: AgentConfig;
  /** Absolute. */
  readonly dataFolder: string;
}

/**
 * Reads `given`, else KEYTURN_AGENT_CONFIG, else ./agent.yaml, else /etc/keyturn/agent.yaml. Paths in the file are relative to it.
 * @throws ConfigError
 */
export function loadAgentConfig(
  given: string | undefined,
  {
    env,
    workingFolder,
  }: { readonly env: Readonly<Record<string, string | undefined>>; readonly workingFolder: string },
): LoadedAgentConfig {
  const named = given ?? (env.KEYTURN_AGENT_CONFIG === '' ? undefined : env.KEYTURN_AGENT_CONFIG);
  const usual = [join(workingFolder, 'agent.yaml'), '/etc/keyturn/agent.yaml'];
  const file = named === undefined ? usual.find((path) => existsSync(path)) : resolve(workingFolder, named);
  if (file === undefined)
    throw new ConfigError([
      `there is no agent.yaml (looked for ${usual.join(' and ')}): \`keyturn agent enroll NAME\` on the control plane prints one`,
    ]);
  const config = parseSettings(readConfig(file), file, agentConfigSchema);
  check(config, file);
  const system = '/var/lib/keyturn-agent';
  const dataFolder = resolve(dirname(file), config.data ?? (existsSync(system) ? system : '.keyturn-agent'));
  return { file, config, dataFolder };
}

function check(
  { control: { url: urls, token, cert, key, pin: pins, ca }, milter, signers: listed }: AgentConfig,
  file: string,
): void {
  const wrong = (message: string) => new ConfigError([`${file}: ${message}`]);
  if (milter === undefined && listed.length === 0)
    throw wrong('no signer is named: give `milter: {}` for the built-in one, or list others under `signers:`');
  const remote = listed.find(({ kind }) => signerKinds.find((each) => each.kind === kind)?.reach === 'remote');
  if (remote !== undefined)
    throw wrong(`signers: ${remote.name} is of the kind ${remote.kind}, which an agent cannot drive`);
  if (listed.some(({ name }) => name === 'milter')) throw wrong('signers: "milter" is the name of the built-in one');
  if ((cert === undefined) !== (key === undefined)) throw wrong('control: cert and key go together');
  if (token === undefined && cert === undefined)
    throw wrong('control: give a token, or cert and key, by which this agent is known');
  if (pins !== undefined && ca !== undefined)
    throw wrong('control: pin and ca are two ways to know the server: keep one');
  const open = urls.find(
    (each) => each.startsWith('http:') && !/^http:\/\/(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])[:/]?/.test(each),
  );
  if (open !== undefined)
    throw wrong(`control.url: private keys would cross the network in the clear: ${open} must be https`);
}
