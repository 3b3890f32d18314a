/** `kind: mailcow-redis`: mailcow's three hashes, exactly. RSA alone, one key per domain. */
import { z } from 'zod';
import { durationBetween, name } from '../settings/values.ts';
import { defineSignerKind } from './kind.ts';
import { connectRedis, redisSettings } from './rspamd-redis/connection.ts';
import { createOneKeySigner } from './rspamd-redis/one-key.ts';
import { createRspamdProbe, rspamdTest } from './rspamd-test.ts';

const abilities = { algorithms: ['rsa'], atMost: 1 } as const;

export const mailcowRedis = defineSignerKind({
  kind: 'mailcow-redis',
  settings: z.strictObject({
    redis: redisSettings,
    /** The stream that mailcow signs: it has one key per domain. */
    stream: name.default('default'),
    replicas: z.int().min(0).max(100).default(0),
    watchEvery: durationBetween(100, 3_600_000).prefault('1s'),
    test: rspamdTest,
  }),
  reach: 'shared',
  abilities: () => abilities,
  create({ redis, stream, replicas, watchEvery, test }, dependencies) {
    return createOneKeySigner(
      {
        kind: 'mailcow-redis',
        abilities,
        redis: connectRedis(redis, dependencies),
        hashes: {
          selectors: 'DKIM_SELECTORS',
          privateKeys: 'DKIM_PRIV_KEYS',
          publicKeys: 'DKIM_PUB_KEYS',
          marks: 'KEYTURN_DKIM',
        },
        stream,
        replicas,
        watchEvery,
        probe: test === undefined ? null : createRspamdProbe(test, dependencies),
      },
      dependencies,
    );
  },
});
