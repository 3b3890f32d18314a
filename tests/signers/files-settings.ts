/** Settings of a signer of files with two tables, one pointing into the other, for tests. */
import { join } from 'node:path';
import type { z } from 'zod';
import { filesKind } from '../../src/signers/files/kind.ts';

export function filesSettings(
  folder: string,
  more: Readonly<Record<string, unknown>> = {},
): z.output<typeof filesKind.settings> {
  return filesKind.settings.parse({
    path: join(folder, 'keys', '{domain}', '{selector}.{fingerprint}.pem'),
    tables: [
      { path: join(folder, 'tables', 'known'), holds: 'known', key: '{id} {domain}:{selector}:{file}' },
      { path: join(folder, 'tables', 'signing'), key: '*@{domain} {id}' },
    ],
    ...more,
  });
}
