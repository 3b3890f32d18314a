/** A key's record: its name, its text, and the forms in which people are asked to set it. */
import { buildKeyRecord, buildRevokedRecord } from '../dkim/key-record.ts';
import type { KeyView, RecordKind } from '../lifecycle/types.ts';

export { recordName } from './world.ts';

/** RFC 6376 section 3.6.1: only what every key needs stands in the record, for some DNS front ends choke on long ones. Null for no record. */
export function recordText(
  { algorithm, publicKey }: Pick<KeyView, 'algorithm' | 'publicKey'>,
  kind: RecordKind,
): string | null {
  switch (kind) {
    case 'key':
      return buildKeyRecord({ algorithm, publicKey });
    case 'revoked':
      return buildRevokedRecord(algorithm);
    case 'absent':
      return null;
  }
}
