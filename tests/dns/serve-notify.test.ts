/** NOTIFY to secondaries that answer late, not at all, or say no. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { createNotifier, type NotifierOptions, type NotifyEvent } from '../../src/dns/serve/notify.ts';
import { createZoneStore } from '../../src/dns/serve/zone-store.ts';
import { waitFor } from '../support/processes.ts';
import { type Behaviour, type FakeServer, reply, startFake } from './lookup-world.ts';

const apex = 'example.test';

async function setUp(behaviour: Behaviour, options: Partial<NotifierOptions> = {}) {
  const secondary: FakeServer = await startFake(behaviour);
  const zones = createZoneStore([{ apex, nameServers: ['ns1.example.test'], serial: 1 }]);
  const events: NotifyEvent[] = [];
  const notifier = createNotifier({
    zone: (each) => zones.current().get(each),
    secondaries: () => [{ address: secondary.address, port: secondary.port }],
    now: () => Date.now(),
    onEvent: (event) => events.push(event),
    gather: 10,
    patience: 60,
    ...options,
  });
  onTestFinished(async () => {
    await notifier.close();
    await secondary[Symbol.asyncDispose]();
  });
  zones.subscribe((each) => notifier.changed(each));
  const change = (value: string): void => void zones.set(`a.${apex}`, { value, ttl: 1 });
  const serials = (): unknown[] =>
    secondary.queries.map(({ answers }) => (answers[0]?.data.kind === 'SOA' ? answers[0].data.serial : null));
  return { secondary, events, change, serials, notifier };
}
const accepts: Behaviour = (query) => reply(query, { flags: { aa: true } });

test('says which zone has changed, with its new SOA, once for changes that come together', async () => {
  const { secondary, events, change, serials } = await setUp(accepts);
  for (let i = 0; i < 20; i += 1) change(`v${i}`);
  await waitFor(() => events.length > 0, { what: 'the NOTIFY to be answered' });
  expect(secondary.queries[0]).toMatchObject({
    opcode: 'NOTIFY',
    flags: { aa: true },
    questions: [{ name: apex, type: 'SOA' }],
  });
  expect(serials()).toEqual([21]);
  expect(events).toMatchObject([{ kind: 'notified', apex, serial: 21 }]);
});

test('asks again until it is answered', async () => {
  let silent = 2;
  const { events, change, serials } = await setUp((query, transport) => {
    silent -= 1;
    return silent >= 0 ? null : accepts(query, transport);
  });
  change('x');
  await waitFor(() => events.length > 0, { what: 'the NOTIFY to be answered' });
  expect(events).toMatchObject([{ kind: 'notified', serial: 2 }]);
  expect(serials()).toEqual([2, 2, 2]);
});

test('gives up after its attempts and says what came back', async () => {
  const { events, change, serials } = await setUp((query) => reply(query, { rcode: 'REFUSED' }), {
    attempts: 3,
    patience: 20,
  });
  change('x');
  await waitFor(() => events.length > 0, { what: 'it to give up' });
  expect(events).toMatchObject([{ kind: 'not-notified', serial: 2, message: expect.stringContaining('REFUSED') }]);
  expect(serials()).toHaveLength(3);
});

test('newer news takes the place of what is still being told', async () => {
  const { secondary, events, change, serials } = await setUp(() => null, { patience: 300 });
  change('x');
  await waitFor(() => secondary.queries.length === 1, { what: 'the first NOTIFY' });
  secondary.behave(accepts);
  change('y');
  await waitFor(() => events.length > 0, { what: 'the second to be answered' });
  // Nothing of the first is repeated when its time is up.
  await sleep(700);
  expect(serials()).toEqual([2, 3]);
  expect(events).toMatchObject([{ kind: 'notified', serial: 3 }]);
});

test('a silent secondary holds up no other', async () => {
  const silent = await startFake(() => null);
  const many = Array.from({ length: 30 }, (_, i) => `z${i}.test`);
  const zones = createZoneStore(many.map((each) => ({ apex: each, nameServers: ['ns1.example.test'] })));
  const good = await startFake(accepts);
  const events: NotifyEvent[] = [];
  const notifier = createNotifier({
    zone: (each) => zones.current().get(each),
    secondaries: () => [silent, good].map(({ address, port }) => ({ address, port })),
    now: () => Date.now(),
    onEvent: (event) => events.push(event),
    patience: 60_000,
  });
  onTestFinished(async () => {
    await notifier.close();
    await Promise.all([silent[Symbol.asyncDispose](), good[Symbol.asyncDispose]()]);
  });
  for (const each of many) notifier.changed(each);
  await waitFor(() => events.length === many.length, { what: 'the other to be told of every zone' });
  expect(events.every(({ kind, secondary }) => kind === 'notified' && secondary.port === good.port)).toBe(true);
  expect(silent.queries.length).toBeLessThan(many.length);
});

test('ends at once when it is closed', async () => {
  const { secondary, events, change, notifier } = await setUp(() => null, { patience: 60_000 });
  change('x');
  await waitFor(() => secondary.queries.length === 1, { what: 'the NOTIFY' });
  await notifier.close();
  expect(events).toEqual([]);
});
