/** What a follower drives: a signer in its process, with whatever of the domains it signs. */
import type { KeyringBook } from '../../signers/keyring-book.ts';
import type { SelfTest, Signer } from '../../signers/signer.ts';
import type { FeedKeyring } from '../../store/keyring/feed.ts';
import { type Binding, boundStreams } from '../bindings.ts';
import { fromFeed } from './feed-record.ts';

export interface FollowerTarget {
  /** True where the domain is the signer's business. */
  signs(record: FeedKeyring): boolean;
  /** Puts it in place for the next message on. `anew`: whatever is there goes, without a comparison. */
  put(record: FeedKeyring, anew: boolean): void;
  /** Nothing is known of the domain but that it is in care: its mail must wait. */
  putOff(domain: string): void;
  remove(domain: string): void;
  /** Null before the signer has started. */
  selfTest(domain: string, stream: string, selector: string): Promise<SelfTest | null>;
  takeSignaturesSeen(): ReturnType<NonNullable<Signer['takeSignaturesSeen']>>;
}

/** A milter that signs by this book. */
export function milterTarget(book: KeyringBook, binding: Binding, signer: () => Signer | null): FollowerTarget {
  const bound = ({ domain, streams }: FeedKeyring) => boundStreams(binding, domain, Object.keys(streams));
  return {
    signs: (record) => bound(record).length > 0,
    put(record, anew) {
      if (anew) book.remove(record.domain);
      const names = bound(record);
      const all = Object.entries(record.streams);
      // Nearly always all of them: then the record is taken as it is.
      const streams =
        names.length === all.length ? record.streams : Object.fromEntries(all.filter(([name]) => names.includes(name)));
      book.put(fromFeed({ ...record, streams }));
    },
    putOff(domain) {
      if (boundStreams(binding, domain, ['default']).length === 0) return;
      book.put({ domain, generation: 0, mustSign: true, streams: { default: [] } });
    },
    remove: (domain) => void book.remove(domain),
    async selfTest(domain, stream, selector) {
      return (await signer()?.selfTest(domain, stream, selector)) ?? null;
    },
    takeSignaturesSeen: () => signer()?.takeSignaturesSeen?.() ?? [],
  };
}
