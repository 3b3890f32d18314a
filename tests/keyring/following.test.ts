import { describe, expect, test } from 'vitest';
import { openMemoryStore } from '../../src/store/open.ts';
import { need } from '../support/need.ts';
import { waitFor } from '../support/processes.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp.ts';
import { addActive, addressOf, keepSending, rotate, signedBy, startControl, startMilter } from './support.ts';

describe.skipIf(!need('redis-server', 'redis-server'))('a milter that follows Redis', () => {
  test('starts when it is known, follows each change, acknowledges, tests, and reports what it signs', async () => {
    using home = tempDir('control');
    using elsewhere = tempDir('mx');
    await using redis = await startRedis();
    await using store = await openMemoryStore();
    await addActive(store, 'one.test');
    await using _control = await startControl(home, addressOf(redis), { store });
    await using milter = await startMilter(elsewhere, home, addressOf(redis));
    expect(await signedBy(milter, 'one.test')).toBe('s1');

    const signer = async () =>
      (await store.snapshot('one.test'))?.snapshot.signers.find(({ id }) => id === 'mx1') ?? null;
    const key = async (selector: string) =>
      (await store.snapshot('one.test'))?.snapshot.keys.find((each) => each.selector === selector);
    await waitFor(async () => (await signer())?.acknowledgedGeneration === 1, { what: 'the acknowledgement' });
    await waitFor(async () => (await key('s1'))?.signaturesSeen.mx1 !== undefined, { what: 'a signature of s1' });

    const sending = keepSending(milter, 'one.test');
    await rotate(store, 'one.test', 's2');
    await waitFor(async () => (await signedBy(milter, 'one.test')) === 's2', { what: 's2 to sign', within: 3000 });
    await waitFor(async () => (await signer())?.acknowledgedGeneration === 2, { what: 'the acknowledgement' });
    await waitFor(async () => (await key('s2'))?.signaturesSeen.mx1 !== undefined, { what: 'a signature of s2' });
    const others = [...(await sending.stop()).keys()].filter((by) => by !== 's1' && by !== 's2');
    expect(others).toEqual([]);

    await addActive(store, 'two.test');
    await waitFor(async () => (await signedBy(milter, 'two.test')) === 's1', { what: 'the new domain to be signed' });
    await waitFor(
      async () =>
        (await store.snapshot('two.test'))?.snapshot.signers.some(
          ({ id, acknowledgedGeneration }) => id === 'mx1' && acknowledgedGeneration === 1,
        ) === true,
      { what: 'the new domain to know the milter' },
    );
  });
});
