import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { newDomain } from '../lifecycle/new-domain.ts';
import type { Condition, Outcome } from '../lifecycle/types.ts';
import { conditionEvents } from './events.ts';
import { fold } from './fold.ts';
import { createLimit } from './limit.ts';
import { createLog } from './log.ts';
import { startRepeating } from './repeating.ts';
import { createSignatureLedger } from './signature-ledger.ts';
import { createWallClockWatch } from './wall-clock-watch.ts';

const actor = { name: 'olga', source: 'cli' } as const;

describe('folding', () => {
  const before = newDomain('example.com', 'mail', 1000);
  const added: Outcome = { kind: 'signer-added', at: 1001, signerId: 'm', streams: ['default'] };

  test('tells the journal what happened, and nothing of what was refused', () => {
    const { snapshot, events, refused } = fold(
      before,
      [added, added, { kind: 'paused', at: 1002, stream: null }],
      actor,
    );
    expect(snapshot.domain.pausedAt).toBe(1002);
    expect(events.map(({ kind, at }) => [kind, at])).toEqual([
      ['signer-added', 1001],
      ['paused', 1002],
    ]);
    expect(events[0]).toMatchObject({
      actor: 'olga',
      source: 'cli',
      domain: 'example.com',
      details: { signerId: 'm' },
    });
    expect(refused).toEqual([{ outcome: added, why: 'already-so' }]);
  });

  test('of a proof that says what the last one said is told once', () => {
    const key = {
      id: 'k',
      stream: 'default',
      selector: 's1',
      algorithm: 'ed25519',
      bits: 256,
      publicKey: 'x',
    } as const;
    const proved = (at: number): Outcome => ({
      kind: 'proved',
      keyId: 'k',
      proof: {
        at,
        expected: 'key',
        verdict: 'missing',
        serversAsked: 2,
        serversAgreeing: 0,
        ttl: null,
        negativeTtl: 60,
      },
    });
    const { events } = fold(before, [{ kind: 'key-created', at: 1, key }, proved(2), proved(3), proved(4)], actor);
    expect(events.map(({ kind }) => kind)).toEqual(['key-created', 'proved']);
    expect(events[1]?.details).toMatchObject({ selector: 's1', verdict: 'missing', servers: '0/2' });
  });

  test('conditions are told when they come and when they go, by subject and reason', () => {
    const condition = (reason: string, id: string): Condition => ({
      subject: { kind: 'key', id },
      reason,
      severity: 'warning',
      message: reason,
      since: 1,
    });
    const [a, b, c] = [condition('x', '1'), condition('x', '2'), condition('y', '1')];
    const changes = conditionEvents([a, b], [{ ...b, since: 9, message: 'other words' }, c]);
    expect(changes.map(({ change, condition: { reason, subject } }) => [change, reason, subject])).toEqual([
      ['raised', 'y', { kind: 'key', id: '1' }],
      ['cleared', 'x', { kind: 'key', id: '1' }],
    ]);
  });
});

describe('the limit', () => {
  test('runs at most so many at once, in order, and a failure frees its place', async () => {
    const limit = createLimit(3);
    let [running, most] = [0, 0];
    const order: number[] = [];
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) =>
        limit(async () => {
          order.push(i);
          most = Math.max(most, ++running);
          await sleep(i % 3);
          running--;
          if (i % 4 === 0) throw new Error('a failure');
          return i;
        }),
      ),
    );
    expect(most).toBe(3);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(5);
  });
});

describe('the ledger of signatures', () => {
  test('keeps the newest of each key and signer, and loses nothing that comes while it is settled', () => {
    const ledger = createSignatureLedger();
    const note = (selector: string, at: number, signerId = 'm') =>
      ledger.note('example.com', { signerId, selector, at });
    note('a', 5);
    note('a', 3);
    note('a', 4, 'other');
    note('b', 1);
    const seen = ledger.of('example.com');
    expect(seen.map(({ selector, signerId, at }) => `${selector} ${signerId} ${at}`).sort()).toEqual([
      'a m 5',
      'a other 4',
      'b m 1',
    ]);
    note('b', 2);
    ledger.settle('example.com', seen);
    expect(ledger.of('example.com')).toEqual([{ signerId: 'm', selector: 'b', at: 2 }]);
    ledger.settle('example.com', ledger.of('example.com'));
    expect(ledger.domains()).toEqual([]);
  });
});

describe('the watch on the wall clock', () => {
  test('notices jumps forwards and back, once, and no slow drift', () => {
    let [wall, steady] = [1_000_000, 0];
    const jumped = createWallClockWatch({ now: () => wall }, () => steady, 5000);
    const pass = (wallMs: number, steadyMs: number) => {
      wall += wallMs;
      steady += steadyMs;
      return jumped()?.by ?? null;
    };
    expect(pass(1000, 1000)).toBeNull();
    expect(pass(1100, 1000)).toBeNull();
    expect(pass(3_601_000, 1000)).toBe(3_600_000);
    expect(pass(1000, 1000)).toBeNull();
    expect(pass(-86_399_000, 1000)).toBe(-86_400_000);
    expect(pass(1000, 1000)).toBeNull();
  });
});

describe('the log', () => {
  const lines = (format: 'text' | 'json') => {
    const written: string[] = [];
    const log = createLog({ level: 'info', format, write: (line) => written.push(line), now: () => 0 });
    log.debug('unheard');
    log.warn('look-failed', { domain: 'example.com', error: 'two\nlines "quoted"', count: 2 });
    return written;
  };

  test('writes one line an event, whatever the values hold', () => {
    expect(lines('text')).toEqual([
      '1970-01-01T00:00:00.000Z warn  look-failed domain=example.com error="two\\nlines \\"quoted\\"" count=2\n',
    ]);
    const [line = ''] = lines('json');
    expect(JSON.parse(line)).toEqual({
      time: '1970-01-01T00:00:00.000Z',
      level: 'warn',
      event: 'look-failed',
      domain: 'example.com',
      error: 'two\nlines "quoted"',
      count: 2,
    });
  });
});

describe('a repeated task', () => {
  test('goes on after a failure, never overlaps itself, and is over when its stop is', async () => {
    let [turns, running, failures] = [0, 0, 0];
    const stop = startRepeating(
      1,
      async () => {
        turns++;
        running++;
        expect(running).toBe(1);
        await sleep(2);
        running--;
        if (turns === 2) throw new Error('a failure');
      },
      () => failures++,
    );
    while (turns < 5) await sleep(1);
    await stop();
    const seen = turns;
    await sleep(10);
    expect({ turns, running, failures }).toEqual({ turns: seen, running: 0, failures: 1 });
  });
});
