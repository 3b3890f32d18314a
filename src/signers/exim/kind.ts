/**
 * Exim: two lookup files and key files, which its transport's options look into for each message it delivers. Any number of RSA and Ed25519
 * keys sign together, and a change counts from the next delivery on.
 */
import { join } from 'node:path';
import { z } from 'zod';
import type { Located } from '../files/find.ts';
import { keyNames, pathNames } from '../files/keys.ts';
import type { Layout } from '../files/layout.ts';
import { attributesOf, ownership, probeOf, senderOf, senders, test } from '../files/settings.ts';
import { createFilesSigner } from '../files/signer.ts';
import { parseTemplate } from '../files/template.ts';
import { listNames, tableOfDomains, tableOfKeys } from '../files/template-table.ts';
import { defineSignerKind, type SignerDependencies } from '../kind.ts';

const settings = z.strictObject({
  /** Folder of the lookup files and, below `keys`, the key files. */
  folder: z.string().min(1).default('/etc/exim4/keyturn'),
  ...ownership,
  /** Left out: the files are read back, and nothing is sent. */
  test: test.optional(),
  /** Stream → an address that its test message is from. */
  senders,
});

export const eximKind = defineSignerKind({
  kind: 'exim',
  settings,
  reach: 'instance',
  create: (given, dependencies) => createFilesSigner(layoutOf(given, dependencies), dependencies),
});

/** @throws Error where the settings cannot work. */
export function layoutOf(given: z.output<typeof settings>, dependencies: SignerDependencies): Layout {
  const folder = dependencies.path(given.folder);
  const attributes = attributesOf(given);
  const common = { comment: '#', attributes } as const;
  const selectors = join(folder, 'selectors');
  const keys = join(folder, 'key-files');
  const keyRow = parseTemplate('{selector}._domainkey.{domain}: {file}', keyNames);
  const lists = ['domain', 'stream', ...listNames];
  const ofDefault = parseTemplate('{domain}: {selectors}', lists);
  const ofStream = parseTemplate('{stream}/{domain}: {selectors}', lists);
  const keyTable = tableOfKeys({ ...common, path: keys, holds: 'known', templates: () => [keyRow] });
  const signingTable = tableOfDomains({
    ...common,
    path: selectors,
    holds: 'signing',
    template: (stream) => (stream === 'default' ? ofDefault : ofStream),
    join: ':',
    // A line of somebody else's may have its selectors in quotes, or none.
    ownerOf: (line) => /^\s*"?(?:[^\s:"/]+\/)?([A-Za-z0-9._-]+)"?\s*(?::|\s|$)/.exec(line)?.[1] ?? null,
  });
  return {
    kind: 'exim',
    program: 'Exim',
    keyFile: {
      path: parseTemplate(join(folder, 'keys', '{domain}', '{selector}.{fingerprint}.pem'), pathNames),
      format: 'pkcs8',
      attributes,
    },
    tables: [keyTable, signingTable],
    reload: null,
    probe: given.test === undefined ? null : probeOf(given.test, dependencies),
    senderOf: senderOf(given.senders, (domain, stream) =>
      stream === 'default' || given.test === undefined ? `postmaster@${domain}` : null,
    ),
    abilities: { algorithms: ['rsa', 'ed25519'], atMost: null },
    patience: given.test?.timeout ?? 0,
    async locate(domain, tables): Promise<readonly Located[]> {
      const used = (await tables.all(signingTable))
        .filter((line) => signingTable.ownerOf(line)?.toLowerCase() === domain)
        .flatMap((line) => line.slice(line.indexOf(':') + 1).split(':'))
        .map((selector) => selector.trim());
      return (await tables.all(keyTable)).flatMap((line) => {
        const values = keyRow.read(line);
        if (values?.domain?.toLowerCase() !== domain) return [];
        const { selector = '', file = '' } = values;
        return [{ selector, key: file, inUse: used.includes(selector) }];
      });
    },
  };
}
