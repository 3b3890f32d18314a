/** Any program that reads its keys from files: paths, lines and the way it is told are templates of the settings. */
import { z } from 'zod';
import type { SignerAbilities } from '../../lifecycle/types.ts';
import { defineSignerKind, type SignerDependencies } from '../kind.ts';
import { keyNames, pathNames } from './keys.ts';
import type { Layout } from './layout.ts';
import { attributesOf, ownership, probeOf, reload, reloadOf, senderOf, senders, test } from './settings.ts';
import { createFilesSigner } from './signer.ts';
import type { TableSpec } from './table.ts';
import { parseTemplate } from './template.ts';
import { listNames, tableOfDomains, tableOfKeys } from './template-table.ts';

/** A template that names some of these, and `{domain}`. */
function template(names: readonly string[], mustName: readonly string[]) {
  return z
    .string()
    .min(1)
    .superRefine((text, context) => {
      const report = (message: string) => context.addIssue({ code: 'custom', message });
      try {
        const { names: used } = parseTemplate(text, names);
        for (const each of mustName) if (!used.has(each)) report(`expected {${each}} in it`);
      } catch (error) {
        report(error instanceof Error ? error.message : String(error));
      }
    });
}

const lineNames = ['domain', 'stream', ...listNames];

const table = z
  .strictObject({
    path: z.string().min(1),
    /** `signing`: keys that sign now. `known`: every key whose file is there; a table that another one points into. */
    holds: z.enum(['signing', 'known']).default('signing'),
    /** A line for each key … */
    key: template(keyNames, ['domain']).optional(),
    /** … or one for each domain (and stream, where it is named), with lists. */
    domain: template(lineNames, ['domain']).optional(),
    join: z.string().min(1).default(':'),
    /** What begins a comment; `none` where there are none: the whole file is then Keyturn's. */
    comment: z.string().min(1).default('#'),
  })
  .refine(({ key, domain }) => (key === undefined) !== (domain === undefined), {
    error: 'expected either key or domain: the line for each of them',
  });

const settings = z.strictObject({
  /** Path of a key file. Without {fingerprint} a new key takes the place of the old one. */
  path: template(pathNames, ['domain']),
  format: z.enum(['pkcs8', 'pkcs1', 'der', 'seed']).default('pkcs8'),
  ...ownership,
  tables: z.array(table).default([]),
  /** Left out: the program looks at its files for each message. */
  reload: reload.optional(),
  /** Left out: the files are read back, and nothing is sent. */
  test: test.optional(),
  senders,
  algorithms: z
    .array(z.enum(['rsa', 'ed25519']))
    .min(1)
    .default(['rsa', 'ed25519']),
  /** With how many keys the program signs a message; left out: with all. */
  atMost: z.int().min(1).max(100).optional(),
  /** What the program is called in messages. */
  program: z.string().min(1).default('The program'),
});

type Settings = z.output<typeof settings>;

export const filesKind = defineSignerKind({
  kind: 'files',
  settings,
  reach: 'instance',
  abilities: abilitiesOf,
  create: (given, dependencies) => createFilesSigner(layoutOf(given, dependencies), dependencies),
});

function abilitiesOf({ algorithms, atMost }: Settings): SignerAbilities {
  return { algorithms, atMost: atMost ?? null };
}

/** @throws Error where the settings cannot work together. */
export function layoutOf(given: Settings, dependencies: SignerDependencies): Layout {
  const attributes = attributesOf(given);
  const path = parseTemplate(dependencies.path(given.path), pathNames);
  if (given.format === 'pkcs1' && given.algorithms.includes('ed25519'))
    throw new Error('the format pkcs1 is for RSA keys: set algorithms to [rsa]');
  if (!path.names.has('fingerprint') && !path.names.has('selector') && given.atMost !== 1)
    throw new Error(
      `a path without {selector} has room for one key: set atMost to 1, or name {selector} in ${given.path}`,
    );
  const tables = given.tables.map((each): TableSpec => {
    const comment = each.comment === 'none' ? null : each.comment;
    const common = { path: dependencies.path(each.path), holds: each.holds, comment, attributes };
    if (each.key !== undefined) {
      const line = parseTemplate(each.key, keyNames);
      return tableOfKeys({ ...common, templates: () => [line] });
    }
    const line = parseTemplate(each.domain ?? '', lineNames);
    const template = (stream: string) => (stream === 'default' || line.names.has('stream') ? line : null);
    return tableOfDomains({ ...common, template, join: each.join });
  });
  const signing = given.tables.filter(({ holds }) => holds === 'signing').map(({ key, domain }) => key ?? domain ?? '');
  const tellsStreams = (signing.length > 0 ? signing : [given.path]).every((text) => text.includes('{stream}'));
  return {
    kind: 'files',
    program: given.program,
    keyFile: { path, format: given.format, attributes },
    tables,
    reload: given.reload === undefined ? null : reloadOf(given.reload, dependencies),
    probe: given.test === undefined ? null : probeOf(given.test, dependencies),
    senderOf: (domain, stream) => {
      if (stream !== 'default' && !tellsStreams) return null;
      const needsNone = stream === 'default' || given.test === undefined;
      return senderOf(given.senders, () => (needsNone ? `postmaster@${domain}` : null))(domain, stream);
    },
    abilities: abilitiesOf(given),
    patience: given.test?.timeout ?? 0,
  };
}
