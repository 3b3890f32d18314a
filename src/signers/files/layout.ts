/** What a kind of signer that reads files is made of: where keys lie, which tables name them, how it is told and tested. */
import type { SignerAbilities } from '../../lifecycle/types.ts';
import type { FileAttributes } from './atomic.ts';
import type { Located } from './find.ts';
import type { KeyFormat } from './keys.ts';
import type { Probe } from './probe.ts';
import type { Reload } from './reload.ts';
import type { TableSpec } from './table.ts';
import type { Tables } from './tables.ts';
import type { Template } from './template.ts';

export interface Layout {
  readonly kind: string;
  /** The program, as it is called in messages. */
  readonly program: string;
  readonly keyFile: {
    /** Absolute; names of {@link pathNames}. With `{fingerprint}` no file ever takes another's name. */
    readonly path: Template;
    readonly format: KeyFormat;
    readonly attributes: FileAttributes;
  };
  readonly tables: readonly TableSpec[];
  /** Null where the program looks at its files for each message. */
  readonly reload: Reload | null;
  /** Null: what stands in the files is read back and tried, and no more. */
  readonly probe: Probe | null;
  /** The author of a stream's test message; null where the stream cannot be told apart from others. */
  senderOf(domain: string, stream: string): string | null;
  readonly abilities: SignerAbilities;
  /** How long the program may take to sign with new keys after it was told, milliseconds. */
  readonly patience: number;
  /** The keys that the tables name for a domain, whoever wrote them. Left out: only ours are known. */
  locate?(domain: string, tables: Tables): Promise<readonly Located[]>;
}
