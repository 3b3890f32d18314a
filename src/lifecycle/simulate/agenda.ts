/** What will happen, in order of time (a binary heap); equal times keep the order in which they were entered. */
export interface Agenda<T> {
  at(time: number, what: T): void;
  /** The earliest entry, taken out; undefined when nothing is left. */
  take(): { readonly time: number; readonly what: T } | undefined;
}

export function newAgenda<T>(): Agenda<T> {
  const heap: { time: number; order: number; what: T }[] = [];
  let entered = 0;
  const before = (a: { time: number; order: number }, b: { time: number; order: number }): boolean =>
    a.time < b.time || (a.time === b.time && a.order < b.order);
  return {
    at(time, what) {
      const entry = { time, order: entered++, what };
      let i = heap.length;
      heap.push(entry);
      while (i > 0) {
        const up = (i - 1) >> 1;
        const parent = heap[up];
        if (parent === undefined || !before(entry, parent)) break;
        heap[i] = parent;
        i = up;
      }
      heap[i] = entry;
    },
    take() {
      const first = heap[0];
      const last = heap.pop();
      if (first === undefined || last === undefined) return undefined;
      if (heap.length > 0) {
        let i = 0;
        for (;;) {
          let down = 2 * i + 1;
          let child = heap[down];
          if (child === undefined) break;
          const right = heap[down + 1];
          if (right !== undefined && before(right, child)) {
            down++;
            child = right;
          }
          if (!before(child, last)) break;
          heap[i] = child;
          i = down;
        }
        heap[i] = last;
      }
      return first;
    },
  };
}
