/** A configuration whose rotations take seconds: built-in DNS, built-in milter, nothing outside the folder. */
import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { freePort } from '../support/ports.ts';
import type { TempDir } from '../support/temp.ts';

export interface FastConfig {
  readonly dnsPort: number;
  /** The milter's socket. */
  readonly socket: string;
  /** The policy's, milliseconds. */
  readonly overlap: number;
  /** Writes the file again, with these settings of the policy in place of what there was. */
  rewrite(policy: Readonly<Record<string, unknown>>): void;
}

/** Writes `keyturn.yaml` into the folder, for one zone. `more` takes the place of settings at the top. */
export async function writeFastConfig(
  dir: TempDir,
  zone: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<FastConfig> {
  const dnsPort = await freePort();
  const socket = `unix:${dir.join('milter.sock')}`;
  const ns = `ns1.${zone}`;
  const write = (policy: Readonly<Record<string, unknown>>): void => {
    const configuration = {
      data: 'data',
      policies: {
        default: {
          keys: ['rsa-2048', 'ed25519'],
          rotateEvery: '7s',
          jitter: 0,
          lead: '1s',
          standby: 1,
          overlap: '3s',
          tombstone: '1s',
          ttl: '1s',
          ttlAhead: '1s',
          proofFresh: '2s',
          watchEvery: '2s',
          ...policy,
        },
      },
      dns: {
        listen: [`127.0.0.1:${dnsPort}`],
        zones: [{ apex: zone, nameservers: [ns], negativeTtl: '1s', addresses: { [ns]: ['127.0.0.1'] } }],
        rateLimit: 0,
      },
      proof: { builtin: true, timeout: '2s' },
      milter: { listen: [socket] },
      reconcile: { interval: '200ms' },
      log: { format: 'json', level: 'debug' },
      ...more,
    };
    writeFileSync(dir.join('keyturn.yaml'), stringify(configuration), { mode: 0o600 });
  };
  write({});
  return { dnsPort, socket, overlap: 3000, rewrite: write };
}
