/**
 * The names of a zone: an immutable map with the empty non-terminals in it (RFC 8020, RFC 4592 section 2.2.2). An edit
 * shares everything that it does not touch, so that a zone of a million names takes a change in microseconds and a
 * transfer that runs meanwhile goes on reading the old one.
 */
import { above } from './names.ts';

interface Node<V> {
  /** Null for an empty non-terminal. */
  readonly value: V | null;
  /** Names directly below. */
  readonly children: number;
}

type Bucket<V> = ReadonlyMap<string, Node<V>>;

export interface NameTree<V> {
  readonly apex: string;
  /** Names in the tree, empty non-terminals among them. */
  readonly size: number;
  readonly buckets: readonly Bucket<V>[];
}

/** Names per bucket at which the number of buckets grows: an edit copies one bucket for each name that it touches. */
const CROWDED = 128;
const GROWTH = 16;

/** A tree with nothing but its apex. Names are canonical: lower case, no trailing dot. */
export function emptyTree<V>(apex: string): NameTree<V> {
  return { apex, size: 1, buckets: [new Map([[apex, { value: null, children: 0 }]])] };
}

/** `undefined`: there is no such name; `null`: an empty non-terminal (or an apex without data of its own). */
export function findName<V>(tree: NameTree<V>, name: string): V | null | undefined {
  return bucketOf(tree.buckets, name)?.get(name)?.value;
}

/** Every name with a value, in no particular order. */
export function* namesOf<V>(tree: NameTree<V>): Generator<readonly [string, V]> {
  for (const bucket of tree.buckets) {
    for (const [name, node] of bucket) if (node.value !== null) yield [name, node.value];
  }
}

/** The tree with these names set (or, with null, taken away). Every name lies at or below the apex. */
export function editTree<V>(tree: NameTree<V>, edits: Iterable<readonly [string, V | null]>): NameTree<V> {
  const draft = new Draft(tree);
  for (const [name, value] of edits) draft.set(name, value);
  return draft.finish();
}

function bucketOf<V>(buckets: readonly Bucket<V>[], name: string): Bucket<V> | undefined {
  return buckets.length === 1 ? buckets[0] : buckets[hash(name) & (buckets.length - 1)];
}

/** FNV-1a over UTF-16 units: names are nearly always ASCII. */
function hash(name: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; i += 1) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** One edit under way: buckets are copied when first written to. */
class Draft<V> {
  readonly #apex: string;
  #buckets: Bucket<V>[];
  #own = new Map<Bucket<V>, Map<string, Node<V>>>();
  #size: number;

  constructor(tree: NameTree<V>) {
    this.#apex = tree.apex;
    this.#buckets = [...tree.buckets];
    this.#size = tree.size;
  }

  set(name: string, value: V | null): void {
    const node = this.#get(name);
    if (value === null) {
      if (node === undefined) return;
      this.#put(name, { value: null, children: node.children });
      this.#prune(name);
      return;
    }
    this.#put(name, { value, children: node?.children ?? 0 });
    if (node === undefined) this.#adopt(name);
  }

  finish(): NameTree<V> {
    return { apex: this.#apex, size: this.#size, buckets: this.#buckets };
  }

  /** Makes the names between a new one and the apex, and counts it as a child. */
  #adopt(name: string): void {
    for (let child = name; child !== this.#apex; ) {
      const host = above(child);
      const node = this.#get(host);
      this.#put(host, { value: node?.value ?? null, children: (node?.children ?? 0) + 1 });
      if (node !== undefined) return;
      child = host;
    }
  }

  /** Takes away a name that has neither data nor children any more, and then perhaps the one above. */
  #prune(name: string): void {
    for (let current = name; current !== this.#apex; ) {
      const node = this.#get(current);
      if (node === undefined || node.value !== null || node.children > 0) return;
      this.#remove(current);
      const host = above(current);
      const left = this.#get(host);
      if (left !== undefined) this.#put(host, { value: left.value, children: left.children - 1 });
      current = host;
    }
  }

  #get(name: string): Node<V> | undefined {
    return bucketOf(this.#buckets, name)?.get(name);
  }

  #put(name: string, node: Node<V>): void {
    const bucket = this.#writable(name);
    if (!bucket.has(name)) this.#size += 1;
    bucket.set(name, node);
    if (this.#size > CROWDED * this.#buckets.length) this.#grow();
  }

  #remove(name: string): void {
    if (this.#writable(name).delete(name)) this.#size -= 1;
  }

  #writable(name: string): Map<string, Node<V>> {
    const index = this.#buckets.length === 1 ? 0 : hash(name) & (this.#buckets.length - 1);
    const bucket = this.#buckets[index] ?? new Map<string, Node<V>>();
    const owned = this.#own.get(bucket);
    if (owned !== undefined) return owned;
    const copy = new Map(bucket);
    this.#buckets[index] = copy;
    this.#own.set(copy, copy);
    return copy;
  }

  #grow(): void {
    const wider = Array.from({ length: this.#buckets.length * GROWTH }, () => new Map<string, Node<V>>());
    for (const bucket of this.#buckets) {
      for (const [name, node] of bucket) wider[hash(name) & (wider.length - 1)]?.set(name, node);
    }
    this.#buckets = wider;
    this.#own = new Map(wider.map((bucket) => [bucket, bucket]));
  }
}
