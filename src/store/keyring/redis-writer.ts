/** The side that fills Redis: which filling there is, what its records are, and putting new ones in place. */
import { randomUUID } from 'node:crypto';
import { FeedError } from './feed.ts';
import type { RedisArgument, RedisLink } from './redis-connection.ts';
import { beginScript, filledScript, headsScript, putScript, type RedisLayout } from './redis-layout.ts';
import type { RecordSealer, SealedContent } from './sealed-record.ts';

export interface Filling {
  readonly epoch: string;
  /** All records were put in place since it began. */
  readonly isFilled: boolean;
  /** Records that it should have. */
  readonly count: number;
}

export interface RecordToPut {
  readonly domain: string;
  readonly content: SealedContent;
  /** What stands there now and is to go whatever it says of itself. */
  readonly replaced?: Buffer;
}

export type PutVerdict = 'put' | 'same' | 'newer-there';

export interface KeyringWriter {
  /** Finds the filling, or begins one where Redis holds none. @throws FeedError `wrong-key` where another control plane fills it under another key. */
  begin(): Promise<Filling>;
  /** Heads of all records, by domain. */
  heads(): Promise<Map<string, Buffer>>;
  /** What each put came to; null where the filling is gone. */
  put(epoch: string, records: readonly RecordToPut[]): Promise<readonly PutVerdict[] | null>;
  /** False where the filling is gone. */
  filled(epoch: string): Promise<boolean>;
  /** Records that are there, counted. */
  countRecords(): Promise<number>;
  /** The record as it stands there. */
  record(domain: string): Promise<Buffer | null>;
  readonly sealer: RecordSealer;
  readonly link: RedisLink;
}

/** Changes that a follower may sleep through and catch up with; beyond that it reads everything again. */
const changesKept = 65_536;
const recordsPerScript = 64;
const bucketsAtOnce = 8;

export function createKeyringWriter(link: RedisLink, layout: RedisLayout, sealer: RecordSealer): KeyringWriter {
  const { meta, changes, buckets } = layout;
  const evaluate = (script: string, keys: readonly string[], args: readonly RedisArgument[]) =>
    link.call('EVAL', script, keys.length, ...keys, ...args);

  async function countRecords(): Promise<number> {
    const lengths = await Promise.all(buckets.map((bucket) => link.call('HLEN', bucket)));
    return lengths.reduce<number>((sum, length) => sum + Number(length), 0);
  }

  return {
    sealer,
    link,
    async begin() {
      const oldKey = sealer.oldKeyIds[0] ?? '';
      const answer = await evaluate(beginScript, [meta], [randomUUID(), sealer.keyId, oldKey]);
      const [epoch = '', keyId = '', filled = '', count = ''] = (answer as Array<Buffer | null>).map((each) =>
        String(each ?? ''),
      );
      if (keyId !== sealer.keyId) {
        throw new FeedError(
          'wrong-key',
          `The keyrings in Redis at ${link.name} are sealed under the key ${keyId}, and this control plane has ${sealer.keyId}: give all control planes the same keyrings.key, or each a \`prefix\` of its own.`,
        );
      }
      return { epoch, isFilled: filled === epoch, count: Number(count) };
    },
    async heads() {
      const heads = new Map<string, Buffer>();
      for (let at = 0; at < buckets.length; at += bucketsAtOnce) {
        const part = buckets.slice(at, at + bucketsAtOnce);
        for (const answer of await Promise.all(part.map((bucket) => evaluate(headsScript, [bucket], [])))) {
          const flat = answer as Buffer[];
          for (let i = 0; i + 1 < flat.length; i += 2) heads.set(String(flat[i]), Buffer.from(flat[i + 1] ?? ''));
        }
      }
      return heads;
    },
    async put(epoch, records) {
      const verdicts: PutVerdict[] = [];
      for (let at = 0; at < records.length; at += recordsPerScript) {
        const part = records.slice(at, at + recordsPerScript);
        const keys = [meta, changes, ...part.map(({ domain }) => layout.bucketOf(domain))];
        const args = part.flatMap(({ domain, content, replaced }) => [
          domain,
          sealer.seal(domain, content),
          replaced ?? '',
        ]);
        const answers = (await evaluate(putScript, keys, [epoch, changesKept, ...args])) as unknown[];
        if (answers[0] instanceof Buffer) return null;
        for (const answer of answers) verdicts.push(answer === 1 ? 'put' : answer === 2 ? 'same' : 'newer-there');
      }
      return verdicts;
    },
    async filled(epoch) {
      return (await evaluate(filledScript, [meta], [epoch, await countRecords()])) === 1;
    },
    countRecords,
    record: async (domain) => (await link.call('HGET', layout.bucketOf(domain), domain)) as Buffer | null,
  };
}
