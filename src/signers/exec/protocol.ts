/**
 * What Keyturn says to a signer of somebody's own, a program or a web service, and what it may answer: one JSON object each way. Described in
 * docs/signers/exec.md; docs/signers/exec.schema.json is made of this file.
 */
import { z } from 'zod';

export const protocolVersion = 'keyturn-signer/1';

const algorithm = z.enum(['rsa-sha256', 'ed25519-sha256']);

const publicKey = {
  selector: z.string().min(1),
  /** Contents of the record's `p=`. */
  publicKey: z.string().min(1),
};

const signingKey = z.strictObject({
  ...publicKey,
  algorithm,
  /** Of two keys the one with the greater number entered later. */
  entered: z.int(),
});

const otherKey = z.strictObject({
  ...publicKey,
  state: z.enum(['created', 'published', 'standby', 'retiring', 'revoked', 'removed']),
});

const common = {
  protocol: z.literal(protocolVersion),
  /** The same when a request is repeated. */
  id: z.string().min(1),
  signer: z.string().min(1),
};

function keyringOf<K extends z.ZodType>(key: K) {
  return z.strictObject({
    domain: z.string().min(1),
    generation: z.int(),
    mustSign: z.boolean(),
    /** What somebody else put there may be written over. */
    overwrite: z.boolean(),
    streams: z.record(z.string(), z.array(key)),
    others: z.array(otherKey),
  });
}

export const request = z.discriminatedUnion('action', [
  z.strictObject({
    ...common,
    action: z.literal('deliver'),
    /** Private keys are PEM of PKCS#8. */
    keyring: keyringOf(z.strictObject({ ...signingKey.shape, privateKey: z.string().min(1) })),
  }),
  z.strictObject({ ...common, action: z.literal('forget'), domain: z.string().min(1) }),
  z.strictObject({
    ...common,
    action: z.literal('self-test'),
    domain: z.string().min(1),
    stream: z.string().min(1),
    selector: z.string().min(1),
    /** Base64 of a message to sign. */
    message: z.string().min(1),
  }),
  z.strictObject({ ...common, action: z.literal('inspect'), keyring: keyringOf(signingKey) }),
  z.strictObject({ ...common, action: z.literal('found'), domain: z.string().min(1) }),
]);

export type Request = z.output<typeof request>;
/** A request without what all have in common. */
export type Asking = Request extends infer Each
  ? Each extends Request
    ? Omit<Each, keyof typeof common>
    : never
  : never;

/** For a person, in whole sentences, without key material. */
const message = z.string().min(1).max(2000);

const failed = z.object({ result: z.literal('failed'), message });

export const answers = {
  deliver: z.discriminatedUnion('result', [
    z.object({ result: z.literal('acknowledged'), generation: z.int() }),
    z.object({ result: z.literal('pending'), message }),
    z.object({ result: z.literal('drifted'), message }),
    failed,
  ]),
  forget: z.discriminatedUnion('result', [z.object({ result: z.literal('forgotten') }), failed]),
  'self-test': z.discriminatedUnion('result', [
    /** Base64 of the message as it was signed: Keyturn verifies it. Left out: the signer's word is taken. */
    z.object({ result: z.literal('signed'), message: z.string().min(1).optional() }),
    failed,
  ]),
  inspect: z.discriminatedUnion('result', [
    z.object({ result: z.literal('as-delivered') }),
    z.object({ result: z.literal('lost'), message }),
    z.object({ result: z.literal('changed'), message }),
    z.object({ result: z.literal('unknown'), message }),
  ]),
  found: z.object({
    result: z.literal('found'),
    keys: z.array(
      z.object({ selector: z.string().min(1), privateKey: z.string().min(1).nullable(), inUse: z.boolean() }),
    ),
  }),
} as const;

/** What docs/signers/exec.schema.json holds. */
export function protocolSchema(): unknown {
  return z.toJSONSchema(z.object({ request, answers: z.object(answers) }), { target: 'draft-2020-12' });
}
