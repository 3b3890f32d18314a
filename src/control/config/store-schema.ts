/** `store:` in `keyturn.yaml`: where the database is, unless it is the file in the data folder. */
import { z } from 'zod';
import { secret } from '../../settings/secret.ts';

const url = z.string().superRefine((value, context) => {
  const parsed = URL.canParse(value) ? new URL(value) : null;
  const database = parsed?.pathname.slice(1) ?? '';
  if (parsed === null || !/^(?:mysql|mariadb):$/.test(parsed.protocol) || database === '' || database.includes('/')) {
    context.addIssue({ code: 'custom', message: 'expected an address such as mysql://keyturn@db.example.com/keyturn' });
  } else if (parsed.password !== '') {
    context.addIssue({ code: 'custom', message: 'the password belongs into store.password, not into the address' });
  }
});

/** PEM files; relative paths are beside the configuration file. */
const tlsFiles = z.strictObject({
  /** Authorities that may have signed the server's certificate; without it, those that Node trusts. */
  ca: z.string().min(1).optional(),
  /** Certificate and key of our own, where the server asks for one. */
  cert: z.string().min(1).optional(),
  key: z.string().min(1).optional(),
  /** Certificate and name are checked; false keeps out nobody who stands in between. */
  verify: z.boolean().default(true),
});

export const store = z.strictObject({
  /** `mysql://user@host:3306/database`; without it, the file keyturn.sqlite in the data folder. */
  url: url.optional(),
  password: secret.optional(),
  tls: z.union([z.boolean(), tlsFiles]).default(false),
  /** Path of a UNIX socket, instead of the host and port of `url`. */
  socket: z.string().min(1).optional(),
  /** Connections to the database that this process uses at most. */
  connections: z.int().min(2).max(1000).default(8),
});

export type StoreConfig = z.output<typeof store>;
