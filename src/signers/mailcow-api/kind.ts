/** The settings of a signer of kind `mailcow-api`. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { secret } from '../../settings/secret.ts';
import { durationBetween } from '../../settings/values.ts';
import { defineSignerKind } from '../kind.ts';
import { createRspamdProbe, rspamdTest } from '../rspamd-test.ts';
import { createMailcowClient } from './client.ts';
import { createMailcowSigner } from './signer.ts';

export const mailcowApiKind = defineSignerKind({
  kind: 'mailcow-api',
  settings: z.strictObject({
    /** Of mailcow's user interface. */
    url: z.url({ protocol: /^https?$/, error: 'expected a URL such as https://mail.example.com' }),
    /** The read-write key (System, Configuration, Access, API). */
    apiKey: secret,
    /** File of the authority that signed mailcow's certificate, where the system does not know it. */
    ca: z.string().min(1).optional(),
    /** Names of the helper domains that hold keys. */
    shadows: z
      .string()
      .regex(/^(?=.*\{n\})(?=.*\{domain\})[a-z0-9.{}_-]+$/, 'expected a template such as dkim-{n}.{domain}')
      .default('dkim-{n}.{domain}'),
    /** How many helper domains a mail domain has at most. */
    shadowCount: z.int().min(2).max(50).default(5),
    /** Adds helper domains that mailcow does not have: without mailboxes, not active, not in the global address list. */
    createShadows: z.boolean().default(false),
    /** Keyturn makes the keys and hands them over; they stand in mailcow's API log afterwards. */
    importKeys: z.boolean().default(false),
    timeout: durationBetween(100, 300_000).prefault('20s'),
    /** mailcow's rspamd, to have test messages signed. */
    test: rspamdTest,
  }),
  reach: 'shared',
  abilities: () => ({ algorithms: ['rsa'], atMost: 1 }),
  create(settings, dependencies) {
    const { url, timeout, shadows, shadowCount, createShadows, importKeys, ca, test } = settings;
    const client = createMailcowClient({
      url,
      apiKey: dependencies.readSecret(settings.apiKey),
      timeout,
      ...(ca === undefined ? {} : { ca: readFileSync(dependencies.path(ca), 'utf8') }),
    });
    const options = {
      client,
      shadows: { template: shadows, count: shadowCount, create: createShadows },
      importKeys,
      probe: test === undefined ? null : createRspamdProbe(test, dependencies),
    };
    return createMailcowSigner(options, dependencies);
  },
});
