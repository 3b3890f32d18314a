/** A web service of somebody's own as a signer. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { secret } from '../../settings/secret.ts';
import { remoteSettings } from '../exec/kind.ts';
import { createRemoteSigner } from '../exec/remote.ts';
import { defineSignerKind } from '../kind.ts';
import { post } from './post.ts';

const loopback = new Set(['localhost', '127.0.0.1', '[::1]']);

const settings = z.strictObject({
  /** `https://…`; `http://` for the loopback alone. */
  url: z.url().refine(
    (text) => {
      const { protocol, hostname } = new URL(text);
      return protocol === 'https:' || (protocol === 'http:' && loopback.has(hostname));
    },
    { error: 'expected an address that begins with https:// (http:// only for this machine itself): keys go there' },
  ),
  /** Signs the requests. */
  secret,
  /** File of the certificates (PEM) that are trusted; left out: those of the system. */
  caFile: z.string().min(1).optional(),
  ...remoteSettings,
});

const mostOutput = 1024 * 1024;
const shortestSecret = 16;

export const webhookKind = defineSignerKind({
  kind: 'webhook',
  settings,
  reach: 'shared',
  abilities: ({ algorithms, atMost }) => ({ algorithms, atMost: atMost ?? null }),
  create(given, dependencies) {
    const { algorithms, atMost, supports, concurrency, timeout, caFile } = given;
    const key = dependencies.readSecret(given.secret);
    if (key.length < shortestSecret) throw new Error(`the secret is shorter than ${shortestSecret} characters`);
    const ca = caFile === undefined ? undefined : readFileSync(dependencies.path(caFile), 'utf8');
    const options = {
      url: new URL(given.url),
      secret: key,
      ca,
      timeout,
      most: mostOutput,
      now: () => dependencies.clock.now(),
    };
    return createRemoteSigner(
      {
        kind: 'webhook',
        abilities: { algorithms, atMost: atMost ?? null },
        supports,
        concurrency,
        carry: (request) => post(options, request.id, JSON.stringify(request)),
      },
      dependencies,
    );
  },
});
