/** `keyrings:` of `keyturn.yaml`: where keyrings lie for milters on other machines. */
import { z } from 'zod';
import { secret } from '../../settings/secret.ts';
import { durationBetween, hostName, socketAddress } from '../../settings/values.ts';

const user = z.string().min(1);

const redis = z
  .strictObject({
    /** The server; the Sentinels, where `sentinel` is given; some nodes, where `cluster` is. */
    servers: z.array(socketAddress).min(1),
    cluster: z.boolean().default(false),
    /** `name`: what the Sentinels call the master. `username` and `password` are the Sentinels' own. */
    sentinel: z
      .strictObject({ name: z.string().min(1), username: user.optional(), password: secret.optional() })
      .optional(),
    username: user.optional(),
    password: secret.optional(),
    /** Number of the database; a cluster has 0 alone. */
    database: z.int().min(0).max(65_535).default(0),
    /** `true`, or the files of an authority and a certificate of our own; `serverName`: the name in the server's certificate. */
    tls: z
      .union([
        z.boolean(),
        z.strictObject({
          ca: z.string().min(1).optional(),
          cert: z.string().min(1).optional(),
          key: z.string().min(1).optional(),
          serverName: hostName.optional(),
        }),
      ])
      .default(false),
    /** All keys begin with it. */
    prefix: z
      .string()
      .regex(/^[\w.-]{1,64}$/, 'expected letters, digits, dots, hyphens and underscores')
      .default('keyturn'),
    /** How long a command may take. */
    timeout: durationBetween(100, 60_000).prefault('5s'),
  })
  .superRefine(({ servers, cluster, sentinel, database }, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (cluster && sentinel !== undefined) issue('sentinel', 'a cluster has no Sentinels');
    if (cluster && database !== 0) issue('database', 'a cluster has the database 0 alone');
    if (!cluster && sentinel === undefined && servers.length > 1)
      issue('servers', 'several servers are the nodes of a cluster (`cluster: true`) or Sentinels (`sentinel`)');
  });

export const keyrings = z
  .strictObject({
    redis: redis.optional(),
    /** File of the key under which keyrings are sealed; by default `keyrings.key` in the data folder. KEYTURN_KEYRINGS_KEY goes first. */
    keyFile: z.string().min(1).optional(),
  })
  .prefault({});

export type RedisConfig = z.output<typeof redis>;
