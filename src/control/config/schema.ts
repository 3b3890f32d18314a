/** `keyturn.yaml`: every setting, its default, and what it may hold. An empty file is a complete configuration. */
import { z } from 'zod';
import { defaultOversignedHeaders, defaultSignedHeaders } from '../../dkim/signed-headers.ts';
import { LONGEST_NAME } from '../../dns/publish/target.ts';
import {
  duration,
  durationBetween,
  endpoint,
  headerName,
  hostName,
  name,
  network,
  socketAddress,
} from '../../settings/values.ts';
import { agentsSchema } from './agent-schema.ts';
import { keyrings } from './keyrings-schema.ts';
import { policySchema } from './policy-schema.ts';
import { signers, signs } from './signer-schema.ts';
import { store } from './store-schema.ts';

const roles = z
  .strictObject({
    reconcile: z.boolean().default(true),
    milter: z.boolean().default(true),
    dns: z.boolean().default(true),
  })
  .prefault({});

const tsigKey = z.strictObject({
  name: hostName,
  algorithm: z.enum(['hmac-sha256', 'hmac-sha384', 'hmac-sha512']).default('hmac-sha256'),
  secret: z.string().optional(),
  secretFile: z.string().optional(),
});

/** Zones listed here are written by this publisher; without zones it writes whatever no other publisher claims. */
const matching = { name, zones: z.array(hostName).default([]) };

/** A name in a zone that we may write, at which the domains' own DNS points by CNAME or DNAME: `S.D.target` holds the record. */
const behindAliases = { target: hostName.optional() };

const publisherKinds = z.discriminatedUnion('kind', [
  z.strictObject({ ...matching, ...behindAliases, kind: z.literal('builtin') }),
  z.strictObject({ ...matching, kind: z.literal('manual') }),
  z.strictObject({
    ...matching,
    ...behindAliases,
    kind: z.literal('rfc2136'),
    /** Primaries, tried in order; `host`, `host:port`, `[v6]:port`. */
    servers: z.array(socketAddress).min(1),
    /** The port of servers that are written without one. */
    port: z.int().min(1).max(65_535).default(53),
    /** The zone to update; by default the listed zone, or the apex found by asking for SOA records. */
    zone: hostName.optional(),
    key: tsigKey,
    timeout: duration.prefault('5s'),
  }),
]);

const publisher = publisherKinds.superRefine((settings, context) => {
  if (settings.kind === 'manual' || settings.target === undefined) return;
  for (const zone of settings.zones) {
    // A selector of one letter and the two dots between the parts: with less room than that no record has a name.
    const length = zone.length + settings.target.length + 3;
    if (length <= LONGEST_NAME) continue;
    const message = `no selector of ${zone} fits below it: names in DNS have at most ${LONGEST_NAME} octets`;
    context.addIssue({ code: 'custom', path: ['target'], message });
  }
  if (settings.kind !== 'rfc2136' || settings.zone === undefined) return;
  if (settings.target === settings.zone || settings.target.endsWith(`.${settings.zone}`)) return;
  context.addIssue({
    code: 'custom',
    path: ['target'],
    message: `expected a name in ${settings.zone}, the zone to update`,
  });
});

const proof = z
  .strictObject({
    /** `authoritative`: every authoritative server; `recursive`: the resolvers only; `both`: one, then the other. */
    mode: z.enum(['authoritative', 'recursive', 'both']).default('authoritative'),
    /** Recursive resolvers; by default those of /etc/resolv.conf. */
    resolvers: z.array(socketAddress).default([]),
    /** Zones whose authoritative servers are known: split horizons, closed networks, hidden primaries. */
    zones: z.array(z.strictObject({ apex: hostName, servers: z.array(socketAddress).min(1) })).default([]),
    /** Ask the built-in server itself about its zones, not those to which they are delegated: for tests and closed networks. */
    builtin: z.boolean().default(false),
    timeout: duration.prefault('5s'),
  })
  .prefault({});

const dns = z
  .strictObject({
    listen: z.array(socketAddress).default(['127.0.0.1:5353']),
    zones: z
      .array(
        z.strictObject({
          apex: hostName,
          nameservers: z.array(hostName).min(1),
          hostmaster: hostName.optional(),
          ttl: duration.prefault('1h'),
          /** SOA MINIMUM: how long "no such name" is remembered (RFC 2308). Short, for every first proof waits for it. */
          negativeTtl: duration.prefault('5m'),
          /** Records that stand in the zone beside the keys: glue for its name servers. */
          addresses: z.record(hostName, z.array(z.string())).default({}),
          /** Notified of each change; they may transfer the zone. */
          secondaries: z
            .array(
              z.union([
                socketAddress.transform((address) => ({ address, key: undefined })),
                /** `key` is the name of one of `dns.keys`; it signs the NOTIFY. */
                z.strictObject({ address: socketAddress, key: hostName.optional() }),
              ]),
            )
            .default([]),
          /** Networks that may transfer the zone without a key. */
          allowTransfer: z.array(network).default([]),
        }),
      )
      .default([]),
    /** TSIG keys that may transfer any zone. */
    keys: z.array(tsigKey).default([]),
    /** Answers a second to one /24 or /56; 0 for no limit. */
    rateLimit: z.int().min(0).default(200),
  })
  .prefault({});

const streamRule = z.strictObject({
  stream: name,
  /** All that are given must match; names and values are globs (`*`, `?`). */
  user: z.string().optional(),
  sender: z.string().optional(),
  client: network.optional(),
  header: z.strictObject({ name: z.string().min(1), value: z.string() }).optional(),
  /** Only for this domain's mail. */
  domain: hostName.optional(),
});

const day = 86_400_000;

const sign = z
  .strictObject({
    /** `c=` of RFC 6376: header, then body. */
    canonicalization: z
      .enum(['relaxed/relaxed', 'relaxed/simple', 'simple/relaxed', 'simple/simple'])
      .default('relaxed/relaxed'),
    /** Fields to sign where present; From is signed in any case. */
    headers: z
      .array(headerName)
      .min(1)
      .default([...defaultSignedHeaders]),
    /** Fields to name once more than present, so that none can be added (RFC 6376 section 8.15). */
    oversign: z
      .array(headerName)
      .refine((names) => names.includes('from'), {
        error: 'from must be among them: without it anybody may add a second From to a signed message',
      })
      .default([...defaultOversignedHeaders]),
    /** `x=`: a signature is valid for so long; without it, for as long as its record stands. */
    expiresAfter: durationBetween(3_600_000, 3650 * day).optional(),
  })
  .prefault({});

/** The settings of the built-in milter; agents have them as well. */
export const milterSettings = z.strictObject({
  listen: z.array(endpoint).default(['inet:127.0.0.1:8891']),
  /** Mode of UNIX sockets, in octal. */
  socketMode: z
    .string()
    .regex(/^0?[0-7]{3}$/, 'expected an octal mode such as 660')
    .default('660'),
  /** Group of UNIX sockets, by name or number: the mail server's. */
  socketGroup: z.string().min(1).optional(),
  /** Mail from these networks is outbound even without authentication. */
  internal: z.array(network).default(['127.0.0.0/8', '::1/128']),
  /** Mail servers that may connect over TCP. */
  allow: z.array(network).default(['127.0.0.0/8', '::1/128']),
  /** Names of the mail server's daemons all of whose mail is outbound (`{daemon_name}`), such as a submission service's. */
  daemons: z.array(z.string().min(1)).default([]),
  /** Sign mail from sub.example.com with the keys of example.com where sub.example.com has none of its own. */
  signSubdomains: z.boolean().default(false),
  onFailure: z.enum(['tempfail', 'reject', 'pass']).default('tempfail'),
  streams: z.array(streamRule).default([]),
  /** Whose mail it signs; by default everything in care. */
  signs,
  sign,
  maxConnections: z.int().min(1).max(100_000).default(1000),
  /** Without a word from the mail server for so long, its connection is closed. */
  idleTimeout: durationBetween(10_000, 7 * day).prefault('7210s'),
});

const milter = milterSettings.prefault({});

const reconcile = z
  .strictObject({
    /** Domains looked at side by side: most of a look is waiting for DNS. */
    concurrency: z.int().min(1).max(1000).default(32),
    /** How often the store is asked for work that another process made. */
    interval: duration.prefault('1s'),
    /** How long one look may take before another instance may take the domain over. */
    lease: duration.prefault('2m'),
    /** How often what stands at each signer is compared with what it was given. */
    inspectEvery: durationBetween(1000, 7 * day).prefault('5m'),
    /** Key pairs made ahead of every kind that the policies name. */
    keysAhead: z.int().min(0).max(10_000).default(4),
  })
  .prefault({});

export const logSettings = z
  .strictObject({
    level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
    /** `auto`: text at a terminal, JSON elsewhere. */
    format: z.enum(['auto', 'text', 'json']).default('auto'),
  })
  .prefault({});

export const configSchema = z.strictObject({
  /** Folder of the database and the key-encryption key; by default /var/lib/keyturn where it exists and ./.keyturn elsewhere. */
  data: z.string().min(1).optional(),
  /** File of the key-encryption key; by default `kek` in the data folder. KEYTURN_KEK in the environment goes first. */
  kekFile: z.string().min(1).optional(),
  /** The database: a file in the data folder, or MySQL. */
  store: store.prefault({}),
  /**
   * A folder that no restore of the data folder touches: what was seen of the journal is noted there too, so that a data folder put
   * back as a whole from an old backup is noticed.
   */
  witness: z.string().min(1).optional(),
  /** Name of this instance's own signer; two instances with a milter need two names. */
  instance: name.default('milter'),
  roles,
  /** `default` is the policy of domains that name none. */
  policies: z.record(name, policySchema).default({}),
  publishers: z.array(publisher).default([]),
  proof,
  dns,
  milter,
  /** Other programs that sign, and are given their keys from here. */
  signers,
  /** Where agents of mail servers elsewhere come for their keyrings. */
  agents: agentsSchema,
  /** Where keyrings lie for milters on other machines. */
  keyrings,
  reconcile,
  log: logSettings,
});

export type Config = z.output<typeof configSchema>;
export type PublisherConfig = z.output<typeof publisher>;
export type TsigKeyConfig = z.output<typeof tsigKey>;
