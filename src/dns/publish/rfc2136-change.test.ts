/** The decisions against a model of what RFC 2136 makes of them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Message, ResourceRecord } from '../wire/message.ts';
import { decodeMessage, encodeMessage, txtData } from '../wire/message.ts';
import type { RecordChange } from './publisher.ts';
import { decide, isDesired, readSeen, type Seen, sameSeen, seenValues } from './rfc2136-change.ts';

const name = 's1._domainkey.example.com';

/** What really stands at the name, without wildcards. */
interface World {
  readonly txt: readonly { readonly strings: readonly string[]; readonly ttl: number }[];
  readonly cname: string | null;
}

const rdata = (record: ResourceRecord): string =>
  JSON.stringify(
    record.data.kind === 'TXT' ? record.data.strings.map((string) => Buffer.from(string).toString('latin1')) : null,
  );

/** RFC 2136 §3.2 and §3.4 for one name: the new world, or null where a prerequisite does not hold. */
function serverApplies(message: Message, world: World): World | null {
  const standing = world.txt.map(({ strings }) => JSON.stringify(strings)).sort();
  const mustStand = message.answers.filter((record) => record.class === 'IN');
  if (mustStand.length > 0 && JSON.stringify(mustStand.map(rdata).sort()) !== JSON.stringify(standing)) return null;
  for (const record of message.answers) {
    if (record.class !== 'NONE') continue;
    if (record.type === 'TXT' ? world.txt.length > 0 : world.cname !== null) return null;
  }
  let txt = [...world.txt];
  for (const record of message.authorities) {
    expect(record).toMatchObject({ name, type: 'TXT' });
    if (record.class === 'ANY') txt = [];
    // Additions beside a CNAME are passed over in silence.
    else if (world.cname === null) txt.push({ strings: JSON.parse(rdata(record)), ttl: record.ttl });
  }
  return { ...world, txt };
}

const look = ({ txt, cname }: World): Seen =>
  readSeen(
    name.toUpperCase(),
    cname === null
      ? txt.map(({ strings, ttl }) => ({
          name,
          type: 'TXT',
          class: 'IN',
          ttl,
          data: { kind: 'TXT', strings: strings.map((string) => new Uint8Array(Buffer.from(string))) },
        }))
      : [{ name, type: 'CNAME', class: 'IN', ttl: 1, data: { kind: 'CNAME', target: cname } }],
  );

const value = fc.constantFrom('old', 'older', 'new', 'foreign', 'alien');
const strings = value.chain((text) =>
  fc.nat(text.length - 1).map((at) => (at === 0 ? [text] : [text.slice(0, at), text.slice(at)])),
);
const txtWorld = fc
  .uniqueArray(fc.record({ strings, ttl: fc.constantFrom(60, 300) }), {
    maxLength: 3,
    selector: ({ strings: s }) => JSON.stringify(s),
  })
  // The records of one set share their TTL (RFC 2181 §5.2).
  .map((txt): World => ({ txt: txt.map((record) => ({ ...record, ttl: txt[0]?.ttl ?? 60 })), cname: null }));
const world = fc.oneof(
  { weight: 6, arbitrary: txtWorld },
  { weight: 1, arbitrary: fc.constant<World>({ txt: [], cname: 'elsewhere.example' }) },
);
const change: fc.Arbitrary<RecordChange> = fc.record({
  name: fc.constant(name),
  desired: fc.option(fc.record({ value: fc.constantFrom('new', 'old'), ttl: fc.constantFrom(60, 300) })),
  ours: fc.subarray(['old', 'older', 'new']),
});

describe('decide', () => {
  it('never harms what is not ours, whatever comes between look and update, and reaches the goal where nothing does', () => {
    fc.assert(
      fc.property(world, world, fc.boolean(), change, (seen, later, changes, wanted) => {
        const decision = decide('example.com', wanted, look(seen));
        if (decision.kind === 'done') {
          expect(isDesired(look(seen), wanted)).toBe(true);
          return;
        }
        const message = decodeMessage(encodeMessage(decision.message));
        const before = changes ? later : seen;
        const after = serverApplies(message, before);
        const mayGo = [...wanted.ours, ...(wanted.desired === null ? [] : [wanted.desired.value])];
        const isOurs = (w: World): boolean =>
          w.cname === null && w.txt.every((t) => mayGo.includes(t.strings.join('')));
        if (after !== null) {
          expect(isOurs(before)).toBe(true);
          expect(isDesired(look(after), wanted)).toBe(true);
        } else if (!changes) {
          expect(isOurs(seen)).toBe(false);
          expect(decision.expectsNothing).toBe(true);
        }
      }),
      { numRuns: 5000 },
    );
  });

  it('asks for the name to be free where a wildcard shows through, and so acts only if it is', () => {
    const wildcard = look({ txt: [{ strings: ['v=spf1 -all'], ttl: 60 }], cname: null });
    const nothing: World = { txt: [], cname: null };
    const set = decide('example.com', { name, desired: { value: 'new', ttl: 60 }, ours: [] }, wildcard);
    expect(set.kind === 'update' && serverApplies(set.message, nothing)).toEqual({
      txt: [{ strings: ['new'], ttl: 60 }],
      cname: null,
    });
    const remove = decide('example.com', { name, desired: null, ours: ['new'] }, wildcard);
    expect(remove.kind === 'update' && remove.message.authorities).toEqual([]);
  });
});

describe('what is seen', () => {
  it('is told with its CNAME, and compared without order', () => {
    const a = look({
      txt: [
        { strings: ['x'], ttl: 1 },
        { strings: ['y', 'z'], ttl: 1 },
      ],
      cname: null,
    });
    const b = look({
      txt: [
        { strings: ['yz'], ttl: 1 },
        { strings: ['x'], ttl: 1 },
      ],
      cname: null,
    });
    expect(seenValues(a)).toEqual(['x', 'yz']);
    expect(sameSeen(a, b)).toBe(true);
    expect(sameSeen(a, look({ txt: [{ strings: ['x'], ttl: 2 }], cname: null }))).toBe(false);
    expect(seenValues(look({ txt: [], cname: 'b.example' }))).toEqual(['CNAME b.example']);
  });

  it('is only what stands at the name itself', () => {
    const other: ResourceRecord = { name: 'other.example', type: 'TXT', class: 'IN', ttl: 1, data: txtData('v') };
    expect(readSeen(name, [other])).toEqual({ txt: [], cname: null });
  });
});
