/** A domain's dated future in few lines: what happens to several keys at one moment is told once. */
import type { DatedEvent } from '../lifecycle/timeline.ts';
import type { KeyState } from '../lifecycle/types.ts';

export interface Upcoming {
  /** Epoch milliseconds of the first of the events. */
  readonly at: number;
  readonly text: string;
  /** Keys that the text is about, to be listed after it; none where it names what it is about itself. */
  readonly selectors: readonly string[];
}

interface Group {
  readonly at: number;
  readonly moment: string;
  readonly alike: string;
  readonly first: DatedEvent;
  readonly selectors: string[];
  /** Made, and published at once. */
  published: boolean;
}

/** Groups events by the moment as it is shown (`momentOf`), the stream, and what becomes of the keys; in the order of time. */
export function upcoming(events: readonly DatedEvent[], momentOf: (at: number) => string): readonly Upcoming[] {
  const groups: Group[] = [];
  for (const event of events) {
    const { at, selector, state, stream } = event;
    const moment = momentOf(at);
    const alike = selector === null || state === null ? event.text : `${state} ${stream}`;
    const group = groups.find((candidate) => candidate.moment === moment && candidate.alike === alike);
    if (group === undefined)
      groups.push({
        at,
        moment,
        alike,
        first: event,
        selectors: selector === null ? [] : [selector],
        published: false,
      });
    else if (selector !== null) group.selectors.push(selector);
  }
  return joinMadeAndPublished(groups).map(({ at, first, selectors, published }) => {
    const { state } = first;
    if (state === null || (selectors.length === 1 && !published)) return { at, text: first.text, selectors: [] };
    const [one, many] = published ? madeAndPublished : becomes[state];
    return { at, text: selectors.length === 1 ? `1 key ${one}` : `${selectors.length} keys ${many}`, selectors };
  });
}

/** New keys are written to DNS as soon as they are made: one line for both, where it is so for all of them. */
function joinMadeAndPublished(groups: readonly Group[]): readonly Group[] {
  const gone = new Set<Group>();
  for (const made of groups) {
    if (made.first.state !== 'created') continue;
    const written = groups.find(
      ({ at, first, selectors }) =>
        at - made.at < soon &&
        first.state === 'published' &&
        first.stream === made.first.stream &&
        selectors.toSorted().join() === made.selectors.toSorted().join(),
    );
    if (written === undefined) continue;
    made.published = true;
    gone.add(written);
  }
  return groups.filter((group) => !gone.has(group));
}

/** Milliseconds within which a record that is written at once comes to be written: a server has to look first. */
const soon = 60_000;

const madeAndPublished = ['is made and published', 'are made and published'] as const;

const becomes: Readonly<Record<KeyState, readonly [one: string, many: string]>> = {
  created: ['is made', 'are made'],
  published: ['is in DNS', 'are in DNS'],
  standby: ['stands by', 'stand by'],
  active: ['begins to sign', 'begin to sign'],
  retiring: ['stops signing; its record stays', 'stop signing; their records stay'],
  revoked: ['is revoked', 'are revoked'],
  removed: ['is removed', 'are removed'],
};
