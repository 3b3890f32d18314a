/** `kind: rspamd-redis`: rspamd that takes its keys from Redis, in either of the two layouts that it knows. */
import { z } from 'zod';
import { durationBetween, name } from '../../settings/values.ts';
import { defineSignerKind } from '../kind.ts';
import { createRspamdProbe, rspamdTest } from '../rspamd-test.ts';
import { connectRedis, redisSettings } from './connection.ts';
import { createManyKeysSigner } from './many-keys.ts';
import { createOneKeySigner } from './one-key.ts';

const oneKey = { algorithms: ['rsa', 'ed25519'], atMost: 1 } as const;
const hashName = z.string().min(1).max(200);

export const rspamdRedis = defineSignerKind({
  kind: 'rspamd-redis',
  settings: z.strictObject({
    redis: redisSettings,
    /** rspamd's `key_prefix`: the hash of private keys. */
    keyPrefix: hashName.default('DKIM_KEYS'),
    /** rspamd's `selector_prefix`: the hash of selectors in use. Left out: many keys per domain, under selectors that rspamd lists. */
    selectorPrefix: hashName.optional(),
    /** Without `selectorPrefix`: the selectors that rspamd's `domain` section lists. */
    selectors: z.array(z.string().min(1)).min(1).optional(),
    /** Keyturn's own hash: what it put there. */
    marks: hashName.default('KEYTURN_DKIM'),
    stream: name.default('default'),
    replicas: z.int().min(0).max(100).default(0),
    watchEvery: durationBetween(100, 3_600_000).prefault('1s'),
    test: rspamdTest,
  }),
  reach: 'shared',
  abilities: ({ selectorPrefix }) => (selectorPrefix === undefined ? undefined : oneKey),
  create(settings, dependencies) {
    const { redis, keyPrefix, selectorPrefix, selectors, marks, stream, replicas, watchEvery, test } = settings;
    if (selectorPrefix === undefined && selectors === undefined && test === undefined) {
      throw new Error(
        'nothing tells which selectors rspamd signs with: set `selectors` to those in its `domain` section, `test` to its address, or `selectorPrefix` to its `selector_prefix`',
      );
    }
    const common = { kind: 'rspamd-redis', redis: connectRedis(redis, dependencies), stream, replicas, watchEvery };
    const probe = test === undefined ? null : createRspamdProbe(test, dependencies);
    if (selectorPrefix === undefined) {
      const known = selectors === undefined ? null : new Set(selectors);
      return createManyKeysSigner({ ...common, privateKeys: keyPrefix, marks, selectors: known, probe }, dependencies);
    }
    const hashes = { selectors: selectorPrefix, privateKeys: keyPrefix, publicKeys: null, marks };
    return createOneKeySigner({ ...common, abilities: oneKey, hashes, probe }, dependencies);
  },
});
