import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Keyring } from './keyring.ts';
import { createKeyringBook } from './keyring-book.ts';

const first = generateKeyPairSync('ed25519').privateKey;
const second = generateKeyPairSync('ed25519').privateKey;

function ring(generation: number, selector = 's1', privateKey = first): Keyring {
  return {
    domain: 'Example.COM.',
    generation,
    mustSign: true,
    streams: { default: [{ selector, algorithm: 'ed25519-sha256', privateKey }] },
  };
}

describe('a book of keyrings', () => {
  it('finds a domain whatever its spelling', () => {
    const book = createKeyringBook();
    book.put(ring(1));
    expect(book.find('example.com')?.domain).toBe('example.com');
    expect(book.find('EXAMPLE.com.')?.generation).toBe(1);
    expect(book.find('sub.example.com')).toBeUndefined();
  });

  it('never goes back a generation', () => {
    const book = createKeyringBook();
    expect(book.put(ring(3, 'new'))).toEqual({ kind: 'loaded', generation: 3 });
    expect(book.put(ring(2, 'old'))).toEqual({ kind: 'outdated', generation: 3 });
    expect(book.find('example.com')?.streams.get('default')?.[0]?.selector).toBe('new');
  });

  it('changes nothing for the same again, also when its keys were read anew', () => {
    const book = createKeyringBook();
    book.put(ring(1));
    const { version } = book;
    expect(book.put(ring(1)).kind).toBe('known');
    expect(book.version).toBe(version);
    expect(book.put(ring(1, 's1', second)).kind).toBe('loaded');
    expect(book.version).toBeGreaterThan(version);
  });

  it('leaves the entry that somebody is signing with as it was', () => {
    const book = createKeyringBook();
    book.put(ring(1));
    const held = book.find('example.com');
    book.put(ring(2, 's2'));
    expect(held?.streams.get('default')?.[0]?.selector).toBe('s1');
    expect(book.find('example.com')?.streams.get('default')?.[0]?.selector).toBe('s2');
  });

  it('forgets a domain, which may then begin anew', () => {
    const book = createKeyringBook();
    book.put(ring(5));
    expect(book.remove('example.com')).toBe(true);
    expect(book.remove('example.com')).toBe(false);
    expect(book.put(ring(1)).kind).toBe('loaded');
  });

  it('is replaced as a whole', () => {
    const book = createKeyringBook();
    book.put(ring(5));
    book.replaceAll([{ ...ring(1), domain: 'example.org' }]);
    expect([...book.domains()]).toEqual(['example.org']);
    expect(book.size).toBe(1);
  });

  it('holds a domain in less than 4 KB beside its keys', () => {
    const book = createKeyringBook();
    const count = 20_000;
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < count; i++) book.put({ ...ring(1, `selector-${i}`), domain: `domain-${i}.example` });
    // Garbage is counted too, so this is more than what stays.
    expect((process.memoryUsage().heapUsed - before) / count).toBeLessThan(4096);
    expect(book.size).toBe(count);
  });
});
