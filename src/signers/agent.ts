/** A mail server elsewhere, driven by `keyturn agent` there: it follows its keyrings and answers for itself, so nothing is made of it here. */
import { z } from 'zod';
import { secret } from '../settings/secret.ts';
import { defineSignerKind } from './kind.ts';

const sha256 = /^[0-9a-f]{64}$/;

export const agentKind = defineSignerKind({
  kind: 'agent',
  settings: z.strictObject({
    kind: z.literal('agent'),
    /** What the agent names itself by. */
    token: secret.optional(),
    /** The same without the secret: `sha256:` and the hash of the token in hexadecimal. */
    tokenHash: z
      .string()
      .toLowerCase()
      .refine((value) => value.startsWith('sha256:') && sha256.test(value.slice(7)), {
        error: 'expected sha256: and 64 hexadecimal digits, as `keyturn agent enroll` prints them',
      })
      .optional(),
    /** The agent's client certificate; where a token is given too, both are asked for. */
    certificate: z
      .strictObject({
        /** SHA-256 of the certificate, in hexadecimal, with or without colons. */
        fingerprint: z
          .string()
          .transform((value) => value.toLowerCase().replaceAll(':', ''))
          .refine((value) => sha256.test(value), { error: 'expected the SHA-256 of a certificate in hexadecimal' })
          .optional(),
        /** A DNS name in it; it must come from the authority in `agents.tls.clientCa`. */
        name: z.string().min(1).toLowerCase().optional(),
      })
      .refine(({ fingerprint, name }) => fingerprint !== undefined || name !== undefined, {
        error: 'expected a fingerprint or a name',
      })
      .optional(),
    /** What every signer that the agent drives can sign with. */
    algorithms: z
      .array(z.enum(['rsa', 'ed25519']))
      .min(1)
      .default(['rsa', 'ed25519']),
    /** With how many keys of a stream its weakest signer signs a message at most. */
    atMost: z.int().min(1).max(100).optional(),
  }),
  reach: 'remote',
  abilities: ({ algorithms, atMost }) =>
    algorithms.includes('rsa') && algorithms.includes('ed25519') && atMost === undefined
      ? undefined
      : { algorithms, atMost: atMost ?? null },
  create: ({ kind }) => {
    throw new Error(`a signer of the kind ${kind} is driven by the program that it is named for`);
  },
});
