import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { defaultPolicy } from '../../lifecycle/policy.ts';
import { formatDuration, parseDuration } from '../../settings/durations.ts';
import { ConfigError, loadConfig, parseConfig } from './load.ts';
import { configSchema } from './schema.ts';
import { readable, withoutSecrets } from './show.ts';

const folder = mkdtempSync(join(tmpdir(), 'keyturn-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function problems(text: string): readonly string[] {
  try {
    parseConfig(text, 'keyturn.yaml');
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('durations', () => {
  test.each([
    ['90s', 90_000],
    ['14d', 14 * 86_400_000],
    ['1h30m', 5_400_000],
    ['250ms', 250],
    ['1.5h', 5_400_000],
    ['2w', 14 * 86_400_000],
    ['0', 0],
  ])('%s', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
    expect(parseDuration(formatDuration(milliseconds))).toBe(milliseconds);
  });

  test.each(['', '5', 'h', '-5s', '5 fortnights', '1e9d', 's5', '9'.repeat(70)])('%j is none', (text) => {
    expect(parseDuration(text)).toBeNull();
  });
});

describe('a configuration', () => {
  test('is complete when empty', () => {
    const config = parseConfig('', 'keyturn.yaml');
    expect(config).toEqual(configSchema.parse({}));
    expect(config.roles).toEqual({ reconcile: true, milter: true, dns: true });
    expect(config.milter.onFailure).toBe('tempfail');
  });

  test('takes policies in the forms in which people write them', () => {
    const { policies } = parseConfig(
      `policies:
  default:
    keys: [2 x rsa-3072, ed25519]
    rotateEvery: 90d
    ttl: 2h
    freeze:
      - {from: 12-20, to: 01-05, why: year's end}
      - {from: Fri 18:00, to: Mon 06:00}
      - {from: 2027-03-01T00:00Z, to: 2027-03-03T00:00Z}
`,
      'keyturn.yaml',
    );
    expect(policies.default).toEqual({
      ...defaultPolicy,
      keys: [
        { algorithm: 'rsa', bits: 3072, count: 2 },
        { algorithm: 'ed25519', bits: 256, count: 1 },
      ],
      rotateEvery: 90 * 86_400_000,
      ttl: 7200,
      freeze: [
        { kind: 'yearly', from: { month: 12, day: 20 }, to: { month: 1, day: 5 }, why: "year's end" },
        { kind: 'weekly', from: { weekday: 5, minute: 1080 }, to: { weekday: 1, minute: 360 } },
        { kind: 'dates', from: Date.UTC(2027, 2, 1), to: Date.UTC(2027, 2, 3) },
      ],
    });
  });

  test('says where a wrong name stands and which was meant', () => {
    expect(problems('log: {level: info}\nmilter:\n  lissten: []\n')).toEqual([
      'keyturn.yaml:3:12: milter.lissten: there is no such setting (did you mean listen?)',
    ]);
    expect(problems('recnocile: {}')).toEqual([
      'keyturn.yaml:1:12: recnocile: there is no such setting (did you mean reconcile?)',
    ]);
  });

  test('says where a wrong value stands and what is expected', () => {
    expect(problems('reconcile:\n  interval: 5\n')[0]).toMatch(/^keyturn\.yaml:2:13: reconcile\.interval: .*write 5s/);
    expect(problems('policies:\n  default:\n    keys: [rsa-1024]\n')[0]).toMatch(
      /^keyturn\.yaml:3:12: policies\.default\.keys\[0\]: expected rsa-2048/,
    );
    expect(problems('milter: {allow: [10.0.0.0/33]}')[0]).toMatch(/milter\.allow\[0\]: expected a network/);
  });

  test('says what signatures cannot cover, and what they must', () => {
    const sign = (settings: string) => problems(`milter: {sign: {${settings}}}`)[0];
    expect(sign('headers: [Subject, Received]')).toMatch(
      /milter\.sign\.headers\[1\]: received cannot be signed: every server on the way changes it/,
    );
    expect(sign('headers: ["To:"]')).toMatch(/expected the name of a header field/);
    expect(sign('oversign: [subject]')).toMatch(/milter\.sign\.oversign: from must be among them/);
    expect(sign('canonicalization: relaxed')).toMatch(/relaxed\/simple/);
    expect(sign('expiresAfter: 5m')).toMatch(/expected a duration between 1h and 3650d/);
    expect(problems('milter: {idleTimeout: 1s}')[0]).toMatch(/expected a duration between 10s and 7d/);
    expect(problems('milter: {maxConnections: 0}')).toHaveLength(1);
  });

  test('refuses a policy that contradicts itself', () => {
    expect(problems('policies: {x: {rotateEvery: 1h, lead: 2h}}')[0]).toMatch(
      /rotateEvery \(1h\) must be longer than lead/,
    );
    expect(problems('policies: {x: {keys: [rsa-2048, 2 x rsa-2048]}}')[0]).toMatch(
      /same kind twice; write "2 x rsa-2048"/,
    );
    expect(problems('policies: {x: {selectorTemplate: "s{date}"}}')[0]).toMatch(/must contain \{n\}/);
  });

  test('refuses a target that leaves no room for a record, or that lies in another zone', () => {
    const zone = 'abcdefghi.'.repeat(23).concat('x.test');
    const entry = { name: 'keys', kind: 'builtin', target: 'dkim.hoster.example' };
    expect(problems(stringify({ publishers: [entry] }))).toEqual([]);
    expect(problems(stringify({ publishers: [{ ...entry, zones: [zone] }] }))).toEqual([
      expect.stringContaining('publishers[0].target: no selector of abcdefghi.'),
    ]);
    const key = { name: 'k', secret: 'c2VjcmV0' };
    const other = { ...entry, kind: 'rfc2136', servers: ['192.0.2.1'], zone: 'example.net', key };
    expect(problems(stringify({ publishers: [other] }))).toEqual([expect.stringContaining('a name in example.net')]);
  });

  test('refuses slots that leave no selector for a successor, and names that are none', () => {
    const withSlots = (selectors: readonly string[]) =>
      problems(stringify({ policies: { default: { keys: ['rsa-2048', 'ed25519'], selectors } } }));
    expect(withSlots(['a', 'b', 'c', 'd'])).toEqual([]);
    expect(withSlots(['a', 'b', 'c'])).toEqual([expect.stringContaining('selectors names 3, and')]);
    expect(withSlots(['a', 'b', 'c', 'a'])).toEqual([expect.stringContaining('names a selector twice')]);
    expect(withSlots(['a', 'b', 'c', 'd.e'])).toEqual([expect.stringContaining('expected a selector')]);
  });

  test('that is not YAML is refused with its place', () => {
    const [broken] = problems('a: [1, 2\nb: 3');
    expect(broken).toMatch(/^keyturn\.yaml:\d+:\d+: /);
    expect(broken).not.toMatch(/ at line |:$/);
    expect(problems('- a list')[0]).toMatch(/expected object/);
  });

  test('suggests only settings of the kind that an entry has', () => {
    const text = 'signers:\n  - {kind: files, name: f, keys: /tmp/k, tables: []}\n';
    expect(() => parseConfig(text, 'k.yaml')).toThrow(/keys: there is no such setting \((?!did you mean keys\?)/);
  });

  test('shows no secret, and what it shows can be read back', () => {
    const text = `publishers:
  - {name: bind, kind: rfc2136, servers: [192.0.2.1], key: {name: k, secret: c2VjcmV0LXZhbHVl}}
policies: {fast: {rotateEvery: 20s, lead: 2s, ttl: 5s, ttlAhead: 1s, freeze: [{from: Fri 18:00, to: Mon 06:00}]}}
milter: {idleTimeout: 30m, sign: {expiresAfter: 14d}}
dns: {zones: [{apex: example.test, nameservers: [ns1.example.test], ttl: 90s}]}
`;
    const config = parseConfig(text, 'keyturn.yaml');
    const shown = stringify(readable(withoutSecrets(config)));
    expect(shown).not.toContain('c2VjcmV0LXZhbHVl');
    const again = parseConfig(shown, 'shown.yaml');
    expect({ ...again, publishers: [] }).toEqual({ ...config, publishers: [] });
    expect(parse(shown)).toHaveProperty('policies.fast.ttl', '5s');
  });
});

describe('finding the file', () => {
  test('the one that was named, else the environment, else the working folder, else none', () => {
    const there = join(folder, 'other.yaml');
    writeFileSync(there, 'instance: other\ndata: data\n');
    const empty = { env: {}, workingFolder: folder };
    expect(loadConfig(undefined, empty).file).toBeNull();
    expect(loadConfig(there, empty).config.instance).toBe('other');
    const loaded = loadConfig(undefined, { env: { KEYTURN_CONFIG: there }, workingFolder: '/' });
    expect(loaded.config.instance).toBe('other');
    expect(loaded.dataFolder).toBe(join(folder, 'data'));
    expect(loaded.kekFile).toBe(join(folder, 'data', 'kek'));
    writeFileSync(join(folder, 'keyturn.yaml'), 'instance: here\n');
    expect(loadConfig(undefined, empty).config.instance).toBe('here');
  });

  test('a named file that is not there is an error, not all defaults', () => {
    expect(() => loadConfig(join(folder, 'none.yaml'), { env: {}, workingFolder: folder })).toThrow(
      /cannot read .*none\.yaml/,
    );
  });
});
