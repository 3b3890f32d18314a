import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Verdict } from '../../lifecycle/types.ts';
import { type Expected, isRevoked, judgeValues, overallVerdict, sameMeaning } from './judge.ts';

const all: readonly Verdict[] = ['seen', 'missing', 'revoked', 'mismatched', 'several', 'unreachable', 'bogus'];
const verdict = fc.constantFrom(...all);
const base64 = fc.string({ unit: fc.constantFrom(...'ABCDabcd0123+/'), minLength: 1, maxLength: 40 });
const algorithm = fc.constantFrom('rsa', 'ed25519');
const blank = fc.constantFrom('', ' ', '\t', '  ');

/** One key written in any order, with any white space, notes and defaults. */
const spelling = (k: string, p: string): fc.Arbitrary<string> =>
  fc
    .record({
      order: fc.shuffledSubarray([`k=${k}`, `p=${p}`], { minLength: 2, maxLength: 2 }),
      spaces: fc.array(blank, { minLength: 10, maxLength: 10 }),
      version: fc.boolean(),
      notes: fc.boolean(),
      service: fc.boolean(),
      end: fc.boolean(),
      cut: fc.nat(40),
    })
    .map(({ order, spaces, version, notes, service, end, cut }) => {
      const tags = [
        ...(version ? ['v=DKIM1'] : []),
        ...order,
        ...(notes ? ['n=key=20of=20ours'] : []),
        ...(service ? ['s=*'] : []),
      ];
      const spread = tags.map((tag, i) => {
        const [name, value = ''] = [tag.slice(0, 1), tag.slice(2)];
        const inside = name === 'p' ? `${value.slice(0, cut)}${spaces[i] ?? ''}${value.slice(cut)}` : value;
        return `${spaces[i] ?? ''}${name}${spaces[i + 1] ?? ''}=${spaces[i + 2] ?? ''}${inside}`;
      });
      return `${spread.join(';')}${end ? ';' : ''}`;
    });

describe('many verdicts', () => {
  test('are seen exactly where there is one and all are', () => {
    fc.assert(
      fc.property(fc.array(verdict), (verdicts) => {
        const seen = verdicts.length > 0 && verdicts.every((each) => each === 'seen');
        expect(overallVerdict(verdicts) === 'seen').toBe(seen);
      }),
    );
  });

  test('make one that somebody gave, whatever the order and however often', () => {
    fc.assert(
      fc.property(fc.array(verdict, { minLength: 1 }), fc.nat(), (verdicts, turn) => {
        const result = overallVerdict(verdicts);
        expect(verdicts).toContain(result);
        const at = turn % verdicts.length;
        expect(overallVerdict([...verdicts.slice(at), ...verdicts.slice(0, at), ...verdicts])).toBe(result);
      }),
    );
  });

  test('a server that did not say hides nothing that another said', () => {
    for (const each of all.filter((other) => other !== 'seen' && other !== 'unreachable')) {
      expect(overallVerdict(['seen', 'unreachable', each])).toBe(each);
    }
    expect(overallVerdict([])).toBe('unreachable');
  });
});

describe('values', () => {
  test('exactly one value is seen, and it says what ours says', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: 3 }), fc.string(), (values, value) => {
        const { verdict: judged } = judgeValues(values, { kind: 'key', value });
        if (judged === 'seen') {
          expect(values).toHaveLength(1);
          expect(values[0] === value || sameMeaning(values[0] ?? '', value)).toBe(true);
        }
        if (values.length === 1 && values[0] === value) expect(judged).toBe('seen');
        if (values.length === 0) expect(judged).toBe('missing');
        if (values.length > 1) expect(judged).toBe('several');
      }),
    );
  });

  test('one expectation at most is met by any answer', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom('v=DKIM1; p=', 'p=', 'v=DKIM1; k=rsa; p=AAAA', ''), fc.string()), {
          maxLength: 2,
        }),
        (values) => {
          const expectations: Expected[] = [
            { kind: 'key', value: 'v=DKIM1; k=rsa; p=AAAA' },
            { kind: 'revoked' },
            { kind: 'absent' },
          ];
          const met = expectations.filter((expected) => judgeValues(values, expected).verdict === 'seen');
          expect(met.length).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  test('a revoked record is revoked however it is written', () => {
    for (const record of ['p=', 'v=DKIM1; p=', 'v=DKIM1;k=ed25519;p= ;', ' v=DKIM1 ; p = ']) {
      expect(judgeValues([record], { kind: 'revoked' }).verdict).toBe('seen');
      expect(judgeValues([record], { kind: 'revoked', value: 'v=DKIM1; k=rsa; p=' }).verdict).toBe('seen');
      expect(judgeValues([record], { kind: 'key', value: 'v=DKIM1; p=AA' }).verdict).toBe('revoked');
      expect(judgeValues([record], { kind: 'absent' }).verdict).toBe('revoked');
    }
    for (const record of ['', 'v=DKIM1', 'v=DKIM1; p=A', 'p=; p=', 'v=DKIM1; q='])
      expect(isRevoked(record)).toBe(false);
  });
});

describe('the meaning of records', () => {
  test('is the same in any order, with any white space, notes and defaults', () => {
    fc.assert(
      fc.property(
        fc.tuple(algorithm, base64).chain(([k, p]) => fc.tuple(spelling(k, p), spelling(k, p))),
        ([one, other]) => {
          expect(sameMeaning(one, other)).toBe(true);
        },
      ),
    );
  });

  test('differs with the key, its type, or what it may be used for', () => {
    const record = 'v=DKIM1; k=rsa; p=AAAA';
    for (const other of [
      'v=DKIM1; k=rsa; p=AAAB',
      'v=DKIM1; k=rsa; p=aaaa',
      'v=DKIM1; k=ed25519; p=AAAA',
      'v=DKIM1; k=rsa; t=y; p=AAAA',
      'v=DKIM1; k=rsa; h=sha1; p=AAAA',
      'v=DKIM1; k=rsa; s=other; p=AAAA',
      'v=DKIM2; k=rsa; p=AAAA',
      'k=rsa; v=DKIM1; p=AAAA',
      'v=DKIM1; k=rsa; p=AAAA; p=AAAA',
      'v=DKIM1 k=rsa p=AAAA',
      '',
    ]) {
      expect(sameMeaning(record, other), other).toBe(false);
    }
    expect(sameMeaning(record, 'p=AAAA')).toBe(true);
  });
});

describe('a record that somebody else wrote', () => {
  const expected: Expected = { kind: 'key', value: 'v=DKIM1; k=rsa; p=AAAA', anyForm: true };

  test.each([
    'v=DKIM1;k=rsa;t=s;s=email;p=AAAA',
    'p=AAAA',
    'v=DKIM1; h=sha1:sha256; s=tlsrpt:email; p=AA AA',
    'v=DKIM1; t=y; x=unknown; p=AAAA; n=from us',
  ])('is seen where receivers can verify with its key: %s', (record) => {
    expect(judgeValues([record], expected).verdict).toBe('seen');
  });

  test.each([
    ['another key', 'v=DKIM1; k=rsa; t=s; p=BBBB', 'mismatched'],
    ['another kind of key', 'v=DKIM1; k=ed25519; p=AAAA', 'mismatched'],
    ['not for mail', 'v=DKIM1; s=tlsrpt; p=AAAA', 'mismatched'],
    ['not for SHA-256', 'v=DKIM1; h=sha1; p=AAAA', 'mismatched'],
    ['another version', 'v=DKIM2; p=AAAA', 'mismatched'],
    ['a withdrawn key', 'v=DKIM1; t=s; p=', 'revoked'],
  ])('is not: %s', (_what, record, verdict) => {
    expect(judgeValues([record], expected).verdict).toBe(verdict);
  });

  test('is asked for by name: our own records are as we wrote them', () => {
    expect(judgeValues(['v=DKIM1; k=rsa; t=s; p=AAAA'], { kind: 'key', value: expected.value }).verdict).toBe(
      'mismatched',
    );
  });
});
