/** The settings of a signer of kind `ses`. */
import { z } from 'zod';
import { secret } from '../../settings/secret.ts';
import { durationBetween } from '../../settings/values.ts';
import { defineSignerKind } from '../kind.ts';
import { createSesClient } from './client.ts';
import { createSesSigner } from './signer.ts';

export const sesKind = defineSignerKind({
  kind: 'ses',
  settings: z.strictObject({
    region: z.string().regex(/^[a-z]{2}(?:-[a-z]+)+-\d$/, 'expected a region such as eu-central-1'),
    accessKeyId: z.string().min(1),
    secretAccessKey: secret,
    /** Of temporary credentials. */
    sessionToken: secret.optional(),
    /** Another server than the region's own. */
    endpoint: z.url({ protocol: /^https?$/, error: 'expected a URL' }).optional(),
    /** Adds identities that SES does not have. */
    createIdentities: z.boolean().default(false),
    timeout: durationBetween(100, 300_000).prefault('20s'),
  }),
  reach: 'shared',
  abilities: () => ({ algorithms: ['rsa'], atMost: 1 }),
  create({ region, accessKeyId, secretAccessKey, sessionToken, endpoint, createIdentities, timeout }, dependencies) {
    const client = createSesClient({
      region,
      timeout,
      accessKeyId,
      secretAccessKey: dependencies.readSecret(secretAccessKey),
      ...(sessionToken === undefined ? {} : { sessionToken: dependencies.readSecret(sessionToken) }),
      ...(endpoint === undefined ? {} : { endpoint }),
    });
    return createSesSigner({ client, createIdentities }, dependencies);
  },
});
