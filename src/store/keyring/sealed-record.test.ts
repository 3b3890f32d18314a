import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { temporaryKeks } from '../kek.ts';
import { FeedError, type FeedKeyring } from './feed.ts';
import { contentOf, createRecordSealer, readHead } from './sealed-record.ts';

const keks = temporaryKeks();
const sealer = createRecordSealer(keks);
const keyring: FeedKeyring = {
  kind: 'keyring',
  domain: 'example.com',
  born: 1_700_000_000_000,
  generation: 7,
  mustSign: true,
  streams: {
    default: [{ selector: 's1', algorithm: 'rsa-sha256', entered: 6, pkcs8: randomBytes(1200) }],
    news: [],
  },
};
const code = (wanted: string) => expect.objectContaining({ name: 'FeedError', code: wanted });

const anyContent = fc.record({
  kind: fc.constant('keyring' as const),
  born: fc.nat(),
  generation: fc.nat(),
  mustSign: fc.boolean(),
  streams: fc.dictionary(
    fc.stringMatching(/^[a-z]{1,8}$/),
    fc.array(
      fc.record({
        selector: fc.stringMatching(/^[a-z0-9]{1,8}$/),
        algorithm: fc.constantFrom('rsa-sha256' as const, 'ed25519-sha256' as const),
        entered: fc.nat(),
        pkcs8: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
      }),
      { maxLength: 3 },
    ),
  ),
});

describe('a sealed record', () => {
  test('opens as what was sealed, and says in the clear which version it is', () => {
    fc.assert(
      fc.property(anyContent, (content) => {
        const sealed = sealer.seal('example.com', content);
        const { sealed: _, ...opened } = sealer.open('example.com', sealed);
        expect({ ...opened, streams: { ...('streams' in opened ? opened.streams : {}) } }).toEqual({
          ...content,
          streams: { ...content.streams },
          domain: 'example.com',
        });
        expect(readHead(sealed)).toMatchObject({ kind: 'keyring', born: content.born, generation: content.generation });
      }),
      { numRuns: 50 },
    );
  });

  test('of a removal opens too', () => {
    const sealed = sealer.seal('example.com', { kind: 'removed', born: 1, generation: 9 });
    expect(sealer.open('example.com', sealed)).toMatchObject({ kind: 'removed', born: 1, generation: 9 });
  });

  test('does not open for another domain, nor with any octet altered or missing', () => {
    const sealed = sealer.seal('example.com', contentOf(keyring));
    expect(() => sealer.open('example.org', sealed)).toThrow(code('forged'));
    for (let at = 0; at < sealed.length; at += 7) {
      const altered = Buffer.from(sealed);
      altered[at] = (altered[at] ?? 0) ^ 1;
      expect(() => sealer.open('example.com', altered)).toThrow(FeedError);
    }
    for (const length of [0, 1, 41, 60, 69, sealed.length - 1]) {
      expect(() => sealer.open('example.com', sealed.subarray(0, length))).toThrow(code('forged'));
    }
  });

  test('says under which key it is, where that one is not at hand', () => {
    const sealed = sealer.seal('example.com', contentOf(keyring));
    const stranger = createRecordSealer(temporaryKeks());
    expect(() => stranger.open('example.com', sealed)).toThrow(code('wrong-key'));
    expect(() => stranger.open('example.com', sealed)).toThrow(keks.current.id);
    const later = createRecordSealer({ current: temporaryKeks().current, old: [keks.current] });
    expect(later.open('example.com', sealed)).toMatchObject({ generation: 7 });
  });

  test('has one head for one content, and another for any other', () => {
    const head = sealer.head('example.com', contentOf(keyring));
    expect(sealer.seal('example.com', contentOf(keyring)).subarray(0, head.length)).toEqual(head);
    const others = [
      { ...contentOf(keyring), generation: 8 },
      { ...contentOf(keyring), mustSign: false },
      { ...contentOf(keyring), streams: {} },
    ];
    for (const other of others) expect(sealer.head('example.com', other).equals(head)).toBe(false);
    expect(sealer.head('example.org', contentOf(keyring)).equals(head)).toBe(false);
  });

  test('holds nothing of a private half as it is', () => {
    const [key] = keyring.streams.default ?? [];
    const sealed = sealer.seal('example.com', contentOf(keyring));
    expect(sealed.includes(Buffer.from(key?.pkcs8.subarray(0, 16) ?? []))).toBe(false);
    expect(sealed.includes('s1')).toBe(false);
  });
});

describe('a sealed text', () => {
  test('opens for its purpose and place alone', () => {
    const sealed = sealer.sealText('report', 'mx1 example.com', '{}');
    expect(sealer.openText('report', 'mx1 example.com', sealed)).toBe('{}');
    expect(() => sealer.openText('report', 'mx2 example.com', sealed)).toThrow(code('forged'));
    expect(() => sealer.openText('registration', 'mx1 example.com', sealed)).toThrow(code('forged'));
    expect(() => sealer.openText('report', 'mx1 example.com', sealed.subarray(0, 20))).toThrow(code('forged'));
    expect(() => sealer.openText('report', 'mx1 example.com', Buffer.from('x'))).toThrow(FeedError);
  });
});
