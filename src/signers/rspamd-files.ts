/**
 * `kind: rspamd-files`: a file for each key, named by domain and selector, and one map that says which selector signs. rspamd makes the path of
 * the file out of what the map says (`path = "…/$domain.$selector.key"`), so that a selector never meets another one's key; two maps, of selectors
 * and of paths, would be read again at different moments.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { durationBetween } from '../settings/values.ts';
import type { Located } from './files/find.ts';
import { keyNames, pathNames } from './files/keys.ts';
import type { Layout } from './files/layout.ts';
import { type Probe, readProbed } from './files/probe.ts';
import { attributesOf, ownership } from './files/settings.ts';
import { createFilesSigner } from './files/signer.ts';
import type { TableSpec } from './files/table.ts';
import type { Tables } from './files/tables.ts';
import { parseTemplate } from './files/template.ts';
import { tableOfKeys } from './files/template-table.ts';
import { defineSignerKind, type SignerDependencies } from './kind.ts';
import { createRspamdProbe, type RspamdProbe, rspamdTest } from './rspamd-test.ts';

const settings = z.strictObject({
  /** Folder of the key files, `DOMAIN.SELECTOR.key` each: rspamd's `path`. */
  keys: z.string().min(1).default('/var/lib/rspamd/dkim'),
  /** rspamd's `selector_map`. */
  selectorMap: z.string().min(1).default('/var/lib/rspamd/dkim/selectors.map'),
  ...ownership,
  /** How long rspamd may take to read its map again. */
  timeout: durationBetween(1000, 600_000).prefault('45s'),
  test: rspamdTest.unwrap(),
});

const abilities = { algorithms: ['rsa', 'ed25519'], atMost: 1 } as const;

export const rspamdFiles = defineSignerKind({
  kind: 'rspamd-files',
  settings,
  reach: 'instance',
  abilities: () => abilities,
  create: (given, dependencies) => createFilesSigner(layoutOf(given, dependencies), dependencies),
});

function layoutOf(given: z.output<typeof settings>, dependencies: SignerDependencies): Layout {
  const { path } = dependencies;
  const attributes = attributesOf(given);
  const keyFile = parseTemplate(join(path(given.keys), '{domain}.{selector}.key'), pathNames);
  const row = parseTemplate('{domain} {selector}', keyNames);
  const selectorMap = tableOfKeys({
    path: path(given.selectorMap),
    holds: 'signing',
    comment: '#',
    attributes,
    templates: () => [row],
    ownerOf: (line) => readRow(line)?.domain ?? null,
  });
  return {
    kind: 'rspamd-files',
    program: 'rspamd',
    keyFile: { path: keyFile, format: 'seed', attributes },
    tables: [selectorMap],
    // It looks at its maps by itself.
    reload: null,
    probe: probeWith(createRspamdProbe(given.test, dependencies), given.test.url),
    senderOf: (domain, stream) => (stream === 'default' ? `postmaster@${domain}` : null),
    abilities,
    patience: given.timeout,
    locate: (domain, tables) => locate(domain, tables, selectorMap, path(given.keys)),
  };
}

function probeWith(rspamd: RspamdProbe, url: string): Probe {
  return {
    async send(domain) {
      try {
        const { message, fields } = await rspamd.sign(domain);
        const signed = fields.map((field) => Buffer.from(`DKIM-Signature: ${field}\r\n`, 'latin1'));
        return readProbed(Buffer.concat([...signed, message]));
      } catch (error) {
        const said = error instanceof Error ? error.message : String(error);
        return { kind: 'failed', message: `A test message could not be sent through rspamd at ${url}: ${said}.` };
      }
    },
  };
}

async function locate(domain: string, tables: Tables, map: TableSpec, keys: string): Promise<readonly Located[]> {
  return (await tables.all(map)).flatMap((line) => {
    const row = readRow(line);
    if (row === null || row.domain !== domain) return [];
    return [{ selector: row.selector, key: join(keys, `${domain}.${row.selector}.key`), inUse: true }];
  });
}

function readRow(line: string): { readonly domain: string; readonly selector: string } | null {
  const [, domain, selector] = /^\s*([^\s#]\S*)\s+([A-Za-z0-9_][A-Za-z0-9._-]*)\s*$/.exec(line) ?? [];
  return domain === undefined || selector === undefined ? null : { domain: domain.toLowerCase(), selector };
}
