/** A bounded map whose entries end by themselves. Times are epoch milliseconds of the caller's clock. */

export interface TtlCache<V> {
  get(key: string, now: number): V | undefined;
  set(key: string, value: V, now: number, milliseconds: number): void;
  delete(key: string): void;
  clear(): void;
  readonly size: number;
}

export function createTtlCache<V>(most: number): TtlCache<V> {
  // In order of use: the first is the one that was not asked for longest.
  const entries = new Map<string, { readonly value: V; readonly from: number; readonly until: number }>();
  return {
    get(key, now) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      entries.delete(key);
      // Before `from` the clock was set back, and nobody knows how long ago it was filled.
      if (now >= entry.until || now < entry.from) return undefined;
      entries.set(key, entry);
      return entry.value;
    },
    set(key, value, now, milliseconds) {
      entries.delete(key);
      if (milliseconds <= 0) return;
      if (entries.size >= most) {
        const [oldest] = entries.keys();
        if (oldest !== undefined) entries.delete(oldest);
      }
      entries.set(key, { value, from: now, until: now + milliseconds });
    },
    delete: (key) => void entries.delete(key),
    clear: () => entries.clear(),
    get size() {
      return entries.size;
    },
  };
}
