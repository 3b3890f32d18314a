import { afterAll, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/lifecycle/clock.ts';
import { openMemoryStore } from '../../src/store/open.ts';
import { waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { addActiveDomain, sendThrough, signaturesOf, startControl, startSceneAgent, token } from './scene.ts';

const hour = 3_600_000;

describe('an agent whose clock is off', () => {
  const dir = tempDir('clock');
  afterAll(() => dir.remove());

  test.each([hour, -hour])(
    'by %i ms signs by the time of the control plane, is told of on both sides, and is not believed',
    async (by) => {
      await using store = await openMemoryStore();
      await addActiveDomain(store, 'ours.test');
      await using control = await startControl(store, { signers: [{ kind: 'agent', name: 'mx1', token }] });
      let ahead = by;
      const clock: Clock = { now: () => Date.now() + ahead };
      await using mx1 = await startSceneAgent(dir, `by${by}`, { url: control.url, token }, { clock });
      await waitFor(() => mx1.agent.endpoints.length > 0, { what: 'its milter' });

      const first = signaturesOf(await sendThrough(mx1, 'ours.test'))[0] ?? '';
      const made = Number(/;t=(\d+);/.exec(first)?.[1]) * 1000;
      expect(Math.abs(made - Date.now())).toBeLessThan(60_000);

      const seen = async () => (await store.snapshot('ours.test'))?.snapshot.keys[0]?.signaturesSeen.mx1;
      await waitFor(async () => (await seen()) !== undefined, { what: 'the signature to be told of' });
      const at = (await seen()) ?? 0;
      expect(at).toBeGreaterThan(Date.now() - 60_000);
      expect(at).toBeLessThanOrEqual(Date.now());

      const here = mx1.log.told.find(({ event }) => event === 'clock-off');
      expect(Math.abs(Number(here?.fields.milliseconds) - by)).toBeLessThan(60_000);
      const there = control.log.told.find(({ event }) => event === 'agent-clock-off');
      expect(there?.fields.agent).toBe('mx1');
      expect(Math.abs(Number(there?.fields.milliseconds) - by)).toBeLessThan(60_000);
      const { items } = await store.journal.list({ order: 'newest' }, { limit: 100 });
      expect(items.filter(({ kind }) => kind === 'agent-clock-off')).toHaveLength(1);
      expect(Math.abs((mx1.agent.status().clockAhead ?? 0) - by)).toBeLessThan(60_000);

      // Somebody puts it right: this is told of, and its own clock counts again.
      ahead = 0;
      await addActiveDomain(store, 'second.test');
      await waitFor(() => mx1.log.has('clock-right') && control.log.has('agent-clock-right'), {
        what: 'the clock to be found right',
      });
    },
  );
});
