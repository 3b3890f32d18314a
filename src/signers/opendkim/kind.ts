/**
 * OpenDKIM: key files, KeyTable and SigningTable, SIGUSR1, and a test message through its socket. Its released version makes two
 * signatures at most, of the first and the last row that match, and all with one algorithm.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { name } from '../../settings/values.ts';
import { keyNames, pathNames } from '../files/keys.ts';
import type { Layout } from '../files/layout.ts';
import { attributesOf, ownership, probeOf, reload, reloadOf, test } from '../files/settings.ts';
import { createFilesSigner } from '../files/signer.ts';
import { parseTemplate } from '../files/template.ts';
import { tableOfKeys } from '../files/template-table.ts';
import { defineSignerKind, type SignerDependencies } from '../kind.ts';
import { locateIn } from './locate.ts';
import { ownerOfKey, ownerOfPattern } from './rows.ts';

const settings = z.strictObject({
  /** Folder of the key files. */
  keys: z.string().min(1).default('/etc/opendkim/keys'),
  keyTable: z.string().min(1).default('/etc/opendkim/key.table'),
  signingTable: z.string().min(1).default('/etc/opendkim/signing.table'),
  ...ownership,
  /** How it is told; by default by SIGUSR1 to the process in its pid file. */
  reload: reload.prefault({ signal: 'SIGUSR1', pidFile: '/run/opendkim/opendkim.pid', program: 'opendkim' }),
  test,
  /** Stream → patterns of the addresses (From) whose mail it is, as in a `refile:` table. */
  senders: z
    .record(name, z.array(z.string().regex(/^[^\s@]+@[^\s@]+$/, 'expected a pattern such as news@{domain}')).min(1))
    .default({}),
});

const abilities = { algorithms: ['rsa'], atMost: 2 } as const;

export const opendkimKind = defineSignerKind({
  kind: 'opendkim',
  settings,
  reach: 'instance',
  abilities: () => abilities,
  create: (given, dependencies) => createFilesSigner(layoutOf(given, dependencies), dependencies),
});

/** @throws Error where the settings cannot work. */
export function layoutOf(given: z.output<typeof settings>, dependencies: SignerDependencies): Layout {
  const { path } = dependencies;
  const attributes = attributesOf(given);
  const patternsOf = (stream: string): readonly string[] =>
    given.senders[stream] ?? (stream === 'default' ? ['*@{domain}'] : []);
  const keyRow = parseTemplate('{id} {domain}:{selector}:{file}', keyNames);
  const keyTable = tableOfKeys({
    path: path(given.keyTable),
    holds: 'known',
    comment: '#',
    attributes,
    templates: () => [keyRow],
    ownerOf: ownerOfKey,
  });
  const signingTable = tableOfKeys({
    path: path(given.signingTable),
    holds: 'signing',
    comment: '#',
    attributes,
    templates: (stream) => patternsOf(stream).map((pattern) => parseTemplate(`${pattern} {id}`, keyNames)),
    ownerOf: ownerOfPattern,
  });
  return {
    kind: 'opendkim',
    program: 'OpenDKIM',
    keyFile: {
      path: parseTemplate(join(path(given.keys), '{domain}', '{selector}.{fingerprint}.private'), pathNames),
      format: 'pkcs8',
      attributes,
    },
    tables: [keyTable, signingTable],
    reload: reloadOf(given.reload, dependencies),
    probe: probeOf(given.test, dependencies),
    senderOf: (domain, stream) =>
      patternsOf(stream)[0]?.replaceAll('{domain}', domain).replaceAll('*', 'keyturn-test') ?? null,
    abilities,
    patience: given.test.timeout,
    locate: (domain, tables) => locateIn(domain, tables, { keyTable, signingTable }),
  };
}
