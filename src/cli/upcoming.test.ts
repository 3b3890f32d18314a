import { describe, expect, test } from 'vitest';
import { START } from '../lifecycle/testing.ts';
import type { DatedEvent } from '../lifecycle/timeline.ts';
import type { KeyState } from '../lifecycle/types.ts';
import { moment } from './output.ts';
import { upcoming } from './upcoming.ts';

const event = (at: number, selector: string, state: KeyState, stream = 'default'): DatedEvent => ({
  at: START + at,
  kind: state === 'created' ? 'key-created' : 'key-moved',
  stream,
  keyId: selector,
  selector,
  state,
  text: `${selector} becomes ${state}.`,
});
const lines = (...events: DatedEvent[]) =>
  upcoming(events, (at) => moment(at)).map(({ text, selectors }) => [text, ...selectors].join(' '));

describe('what comes next', () => {
  test('tells once what happens to several keys in one minute', () => {
    const made = ['a', 'b'].flatMap((name) => [event(0, name, 'created'), event(1, name, 'published')]);
    expect(lines(...made, event(300_000, 'a', 'active'), event(300_001, 'b', 'active'))).toEqual([
      '2 keys are made and published a b',
      '2 keys begin to sign a b',
    ]);
  });

  test('keeps apart other minutes, other streams, and keys that are made and not yet published', () => {
    expect(
      lines(
        event(0, 'a', 'created'),
        event(0, 'b', 'created'),
        event(0, 'b', 'published'),
        event(0, 'c', 'created', 'news'),
        event(120_000, 'a', 'published'),
      ),
    ).toEqual(['2 keys are made a b', 'b becomes published.', 'c becomes created.', 'a becomes published.']);
  });

  test('leaves conditions as they are', () => {
    const condition: DatedEvent = { ...event(0, 'a', 'active'), kind: 'condition', selector: null, state: null };
    expect(lines(condition)).toEqual([condition.text]);
  });
});
