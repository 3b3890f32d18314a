/** `signers:` of `keyturn.yaml`: what every signer has in common, and the settings of its kind. */
import { z } from 'zod';
import { hostName, name } from '../../settings/values.ts';
import type { SignerKind } from '../../signers/kind.ts';
import { signerKinds } from '../../signers/kinds.ts';

const pattern = z.union([
  z.literal('*'),
  z
    .string()
    .regex(/^\*\./, 'expected a domain, *.example.com, or *')
    .transform((value) => value.toLowerCase().replace(/\.$/, '')),
  hostName,
]);

/** What a signer signs: domains (`*.example.com` is everything below example.com) and streams. */
export const signs = z
  .strictObject({
    domains: z.array(pattern).min(1).default(['*']),
    except: z.array(pattern).default([]),
    streams: z
      .array(z.union([z.literal('*'), name]))
      .min(1)
      .default(['*']),
  })
  .prefault({});

/** Of every signer; the other settings are its kind's. */
export interface SignerConfig {
  readonly kind: string;
  readonly name: string;
  readonly signs: z.output<typeof signs>;
  /** What to do where somebody changed by hand what it signs with: wait for a person, or put it back at once. */
  readonly onDrift: 'ask' | 'restore';
  readonly [setting: string]: unknown;
}

const common = { name, signs, onDrift: z.enum(['ask', 'restore']).default('ask') };

function schemaOf({ kind, settings }: SignerKind): z.ZodObject {
  return settings.extend({ kind: z.literal(kind), ...common });
}

export const signers = z
  .array(z.discriminatedUnion('kind', signerKinds.map(schemaOf) as [z.ZodObject, ...z.ZodObject[]]))
  .superRefine((list, context) => {
    const names = new Set<unknown>();
    for (const [index, { name: its }] of list.entries()) {
      if (names.has(its))
        context.addIssue({ code: 'custom', path: [index, 'name'], message: `${its} stands there twice` });
      names.add(its);
    }
  })
  .default([]) as unknown as z.ZodType<readonly SignerConfig[], unknown>;
