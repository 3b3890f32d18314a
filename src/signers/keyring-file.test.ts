import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, renameSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../tests/support/processes.ts';
import { tempDir } from '../../tests/support/temp.ts';
import { followKeyringFile } from './follow-keyring-file.ts';
import { createKeyringBook } from './keyring-book.ts';
import { type ParsedKeys, readKeyringFile } from './keyring-file.ts';

const pem = { type: 'pkcs8', format: 'pem' } as const;
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pem).toString();
const ed25519 = generateKeyPairSync('ed25519').privateKey.export(pem).toString();
const rsaKey = { selector: 'S1', algorithm: 'rsa-sha256', privateKey: rsa };
const edKey = { selector: 'e1', algorithm: 'ed25519-sha256', privateKey: ed25519 };

const file = (generation: number, domains: unknown): string => JSON.stringify({ generation, domains });

function problems(text: string): readonly string[] {
  const result = readKeyringFile(text);
  return result.ok ? [] : result.problems;
}

describe('a keyring file', () => {
  it('gives keyrings with all keys of all streams', () => {
    const result = readKeyringFile(
      file(7, {
        'Example.com': { keys: [rsaKey, edKey], streams: { news: [edKey] } },
        'new.example': { mustSign: false },
      }),
    );
    if (!result.ok) throw new Error(result.problems.join());
    expect(result.generation).toBe(7);
    const [example, fresh] = result.keyrings;
    expect(example).toMatchObject({ domain: 'example.com', generation: 7, mustSign: true });
    expect(example?.streams.default?.map(({ selector, algorithm }) => [selector, algorithm])).toEqual([
      ['s1', 'rsa-sha256'],
      ['e1', 'ed25519-sha256'],
    ]);
    expect(example?.streams.news).toHaveLength(1);
    expect(fresh).toMatchObject({ domain: 'new.example', mustSign: false, streams: { default: [] } });
  });

  it('names the place of each problem', () => {
    expect(problems('{"generation":1')).toEqual([expect.stringMatching(/^is not JSON/)]);
    expect(problems('{\n"generation": 1 "x"}')).toEqual(['is not JSON (line 2, column 17)']);
    expect(problems('[]')[0]).toMatch(/^the file: /);
    expect(problems(file(-1, {}))[0]).toMatch(/^generation: /);
    expect(problems(file(1, { 'a b': {} }))[0]).toMatch(/^domains\["a b"\]: expected a domain name/);
    expect(problems(file(1, { 'x.example': { keys: [{ ...rsaKey, selector: 'a b' }] } }))[0]).toMatch(
      /^domains\["x.example"\]\.keys\[0\]\.selector: expected a selector/,
    );
    expect(problems(file(1, { 'x.example': { keys: [{ ...rsaKey, algorithm: 'ed25519-sha256' }] } }))).toEqual([
      'domains["x.example"].keys[0]: its algorithm is ed25519-sha256, but the key is one for rsa-sha256',
    ]);
    expect(problems(file(1, { 'x.example': { keys: [rsaKey], streams: { default: [edKey] } } }))[0]).toContain(
      'keep one',
    );
    expect(problems(file(1, { 'x.example': {}, 'X.example.': {} }))[0]).toContain('twice');
    expect(problems(file(1, { 'x.example': { kyes: [] } }))[0]).toContain('kyes');
  });

  it('never repeats anything of a key in a problem', () => {
    const secret = rsa.split('\n')[5] ?? '';
    const broken = [
      file(1, { 'x.example': { keys: [{ ...rsaKey, privateKey: rsa.slice(0, 900) }] } }),
      file(1, { 'x.example': { keys: [{ ...rsaKey, algorithm: rsa }] } }),
      file(1, { 'x.example': { keys: [rsa] } }),
      file(1, { 'x.example': { keys: [{ ...rsaKey, selector: rsa }] } }),
      file(1, { 'x.example': { keys: rsa } }),
      file(1, { 'x.example': { keys: [rsaKey] } }).replace(secret.slice(10, 20), '"'),
      `{"generation":1,"domains":{"x.example":{"keys":[{"privateKey":"${rsa}"}]}}}`,
    ];
    for (const text of broken) {
      const said = problems(text);
      expect(said).not.toEqual([]);
      for (const line of rsa.split('\n').filter((each) => each.length > 20 && !each.startsWith('--'))) {
        for (let at = 0; at + 12 <= line.length; at += 4) expect(said.join()).not.toContain(line.slice(at, at + 12));
      }
    }
  });

  it('is read without an exception whatever stands in it', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.string(),
          fc.object().map((value) => file(1, value)),
        ),
        (text) => {
          expect(readKeyringFile(text)).toHaveProperty('ok');
        },
      ),
    );
  });

  it('has the keys parsed once that stay from one file to the next', () => {
    const parsed: ParsedKeys = new Map();
    const one = readKeyringFile(file(1, { 'x.example': { keys: [rsaKey] } }), parsed);
    const two = readKeyringFile(file(2, { 'y.example': { keys: [rsaKey, edKey] } }), parsed);
    if (!one.ok || !two.ok) throw new Error('not read');
    expect(two.keyrings[0]?.streams.default?.[0]?.privateKey).toBe(one.keyrings[0]?.streams.default?.[0]?.privateKey);
    expect(parsed.size).toBe(2);
  });
});

describe('following a keyring file', () => {
  it('loads what is newer and good, and keeps what it has otherwise', async () => {
    using dir = tempDir('keyring');
    const path = dir.join('keyring.json');
    const put = (text: string): void => {
      writeFileSync(`${path}.new`, text, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    };
    put(file(5, { 'x.example': { keys: [edKey] } }));
    const book = createKeyringBook();
    const lines: string[] = [];
    using followed = await followKeyringFile({
      path,
      book,
      interval: 20,
      log: (level, message) => void lines.push(`${level}: ${typeof message === 'string' ? message : message()}`),
    });
    expect(followed.generation).toBe(5);
    const selectors = (): unknown =>
      book
        .find('x.example')
        ?.streams.get('default')
        ?.map(({ selector }) => selector);

    put(file(6, { 'x.example': { keys: [edKey, rsaKey] } }));
    await waitFor(() => followed.generation === 6, { what: 'generation 6' });
    expect(selectors()).toEqual(['e1', 's1']);

    put('{"generation":7');
    await waitFor(() => lines.some((line) => line.includes('is not JSON')), { what: 'the complaint' });
    put(file(4, { 'x.example': { keys: [] } }));
    await waitFor(() => lines.some((line) => line.includes('lower than 6')), { what: 'the refusal' });
    expect(selectors()).toEqual(['e1', 's1']);
    expect(followed.generation).toBe(6);

    put(file(8, { 'y.example': { keys: [edKey] } }));
    await waitFor(() => followed.generation === 8, { what: 'generation 8' });
    expect(book.find('x.example')).toBeUndefined();
    expect(lines.join('\n')).toContain('no longer signed: x.example');
  });

  it('says so when everybody can read the keys, and ends at a first file that is broken or missing', async () => {
    using dir = tempDir('keyring');
    const path = dir.join('keyring.json');
    const lines: string[] = [];
    const options = {
      path,
      book: createKeyringBook(),
      log: (_level: string, message: string | (() => string)) => void lines.push(String(message)),
    };
    await expect(followKeyringFile(options)).rejects.toThrow(path);
    writeFileSync(path, '{}');
    await expect(followKeyringFile(options)).rejects.toThrow(/generation/);
    writeFileSync(path, file(1, {}));
    chmodSync(path, 0o644);
    using followed = await followKeyringFile(options);
    expect(followed.generation).toBe(1);
    expect(lines.join('\n')).toContain('chmod 640');
  });
});
