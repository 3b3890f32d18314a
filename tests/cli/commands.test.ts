import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildProgram, run } from '../../src/cli/program.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import { findProgram } from '../support/need.ts';
import { tempDir } from '../support/temp.ts';

const dir = tempDir('cli');
const before = process.cwd();
beforeAll(() => process.chdir(dir.path));
afterAll(() => {
  process.chdir(before);
  dir.remove();
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function keyturn(...args: string[]): Promise<Ran> {
  let [out, err] = ['', ''];
  const terminal: Terminal = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    readInput: async () => Buffer.alloc(0),
    env: {},
    interactive: false,
    color: false,
    columns: 120,
    rows: 40,
  };
  const code = await run(args, terminal);
  return { code, out, err };
}

function everyCommand(command: Command, words: string[] = []): Array<{ words: string[]; command: Command }> {
  const children = command.commands.filter((child) => child.name() !== 'help');
  return [
    ...(words.length > 0 ? [{ words, command }] : []),
    ...children.flatMap((child) => everyCommand(child, [...words, child.name()])),
  ];
}

describe('help', () => {
  test('stands on every command, with examples on those that do something', async () => {
    const terminal = { out: () => {}, err: () => {}, columns: 120, color: false } as unknown as Terminal;
    const program = await buildProgram({ terminal, exit: () => {}, stop: AbortSignal.timeout(60_000) }, 'all');
    const commands = everyCommand(program);
    expect(commands.length).toBeGreaterThan(35);
    for (const { words, command } of commands) {
      const { code, out } = await keyturn(...words, '--help');
      expect(code, words.join(' ')).toBe(0);
      expect(out, words.join(' ')).toContain(`Usage: keyturn ${words.join(' ')}`);
      expect(out, words.join(' ')).toContain('--json');
      expect(command.description(), words.join(' ')).not.toBe('');
    }
  });

  test('names a command that was probably meant, with the exit code for usage', async () => {
    const { code, err } = await keyturn('domian');
    expect(code).toBe(2);
    expect(err).toContain('Did you mean domain?');
    expect((await keyturn('domain', 'add')).code).toBe(2);
    expect((await keyturn('domain', 'list', '--severity', 'awful')).code).toBe(2);
  });
});

describe('a domain by command line', () => {
  test('is added, shown, planned, paused, and leaves; each step says what comes next', async () => {
    const added = await keyturn('domain', 'add', 'Example.COM.');
    expect(added).toMatchObject({ code: 0, err: '' });
    expect(added.out).toMatch(/^example\.com is added\.\nWhat comes next.*\n {2}\d{4}-\d\d-\d\d/);
    expect(added.out).toMatch(/ now +4 keys are made and published: kt\d{8}rsa1, /);
    expect(added.out.split('\n').filter((line) => /^ {2}\S/.test(line)).length).toBeLessThanOrEqual(6);
    expect((await keyturn('domain', 'add', 'example.com')).code).toBe(1);
    const listed = JSON.parse((await keyturn('domain', 'list', '--json')).out);
    expect(listed.domains).toMatchObject([{ name: 'example.com', kind: 'mail', policy: 'default' }]);

    const drawn = await keyturn('plan', 'example.com');
    expect(drawn.out).toMatch(/kt\d{8}rsa1 .*│█+▒+/);
    const events = JSON.parse((await keyturn('plan', 'example.com', '--for', '400d', '--json')).out).events;
    const activations = events.filter((event: { state: string }) => event.state === 'active');
    expect(activations.length).toBeGreaterThanOrEqual(6);

    expect((await keyturn('key', 'pause', 'example.com')).code).toBe(0);
    const shown = JSON.parse((await keyturn('domain', 'show', 'example.com', '--json')).out);
    expect(shown.domain.pausedAt).toBeTypeOf('number');
    expect((await keyturn('key', 'resume', 'example.com')).code).toBe(0);

    expect((await keyturn('domain', 'remove', 'example.com')).code).toBe(2);
    expect((await keyturn('domain', 'remove', 'example.com', '--yes')).code).toBe(0);
    const audit = JSON.parse((await keyturn('audit', 'list', '--json', '--oldest-first')).out).entries;
    expect(audit.map((entry: { kind: string }) => entry.kind)).toEqual([
      'domain-added',
      'signer-added',
      'paused',
      'resumed',
      'removal-requested',
    ]);
    expect(
      audit.every((entry: { source: string; actor: string }) => entry.source === 'cli' && entry.actor !== ''),
    ).toBe(true);
    expect((await keyturn('audit', 'verify')).code).toBe(0);
  });

  test('with --dry-run nothing happens', async () => {
    const planned = await keyturn('domain', 'add', 'dry.example', '--dry-run');
    expect(planned.out).toContain('dry.example would be added.');
    expect((await keyturn('domain', 'show', 'dry.example')).code).toBe(2);
    await keyturn('domain', 'add', 'wet.example');
    const entries = async () => JSON.parse((await keyturn('audit', 'list', '--json')).out).entries.length;
    const before = await entries();
    for (const args of [
      ['key', 'rotate', 'wet.example'],
      ['key', 'pause', 'wet.example'],
      ['domain', 'remove', 'wet.example'],
      ['policy', 'set', '--domain', 'wet.example', '--set', 'overlap=30d'],
      ['policy', 'set', 'default', '--set', 'overlap=30d'],
    ]) {
      expect((await keyturn(...args, '--dry-run')).code, args.join(' ')).toBe(0);
    }
    expect(await entries()).toBe(before);
  });

  test.each([
    [['domain', 'show', 'nowhere.example'], 2, /there is no domain nowhere\.example here/],
    [['domain', 'add', 'not a domain'], 2, /"not a domain" is not a domain name/],
    [['domain', 'add', 'a.example', '--policy', 'none'], 2, /there is no policy "none"/],
    [['key', 'rotate', 'wet.example', '--stream', 'none'], 1, /there is no such stream/],
    [['key', 'rollback', 'wet.example'], 1, /no rotation is under way/],
    [['key', 'compromise', 'wet.example', 'none'], 2, /has no key with the selector "none"/],
    [['signer', 'set-aside', 'wet.example', 'none'], 1, /there is no such signer/],
    [['policy', 'set', 'default', '--set', 'overlpa=30d'], 2, /did you mean overlap\?/],
    [['policy', 'set', 'default', '--set', 'rotateEvery=1h'], 2, /rotateEvery \(1h\) must be longer than lead/],
    [['domain', 'import', 'wet.example', '--selector', 's1', '--key', '/dev/null'], 2, /cannot be taken over/],
    [['verify', '/nowhere.eml'], 2, /cannot read the message/],
    [['verify', '/dev/null'], 2, /the message \/dev\/null is empty/],
    [['milter'], 2, /give --keyring/],
    [['milter', '--check', '--from', 'a@b.example', '--socket', 'unix:./none.sock'], 3, /Nothing listens there/],
    [['milter', '--check', '--from', 'a@b.example', '--socket', 'nonsense'], 2, /is no milter socket/],
    [['plan', 'wet.example', '--for', '3 fortnights'], 2, /--for "3 fortnights": expected numbers, each with its unit/],
    [['plan', 'wet.example', '--for', '90000d'], 2, /more than a hundred years/],
    [['policy', 'set', 'default', '--set', 'overlap=[1'], 2, /^keyturn: --set overlap=\[1: /],
    [['key', 'approve', 'wet.example'], 1, /asks for no approval/],
  ])('%j ends with %d and says why', async (args, code, message) => {
    const ran = await keyturn(...args);
    expect(ran.code).toBe(code);
    expect(ran.err).toMatch(message);
    const asJson = await keyturn(...args, '--json');
    expect(asJson.code).toBe(code);
    expect(JSON.parse(asJson.out).error.exitCode).toBe(code);
  });

  test('policies: named, of a domain, followed', async () => {
    expect(
      (await keyturn('policy', 'set', 'strict', '--set', 'rotateEvery=90d', '--set', 'keys=2 x rsa-3072,ed25519')).code,
    ).toBe(0);
    const strict = JSON.parse((await keyturn('policy', 'show', 'strict', '--json')).out);
    expect(strict).toMatchObject({
      rotateEvery: 90 * 86_400_000,
      keys: [{ algorithm: 'rsa', bits: 3072, count: 2 }, {}],
    });
    expect((await keyturn('policy', 'set', '--domain', 'wet.example', '--follow', 'strict')).code).toBe(0);
    expect((await keyturn('policy', 'show', '--domain', 'wet.example')).out).toMatch(/^# policy strict\n/);
    expect((await keyturn('policy', 'remove', 'strict')).code).toBe(1);
  });
});

describe('a store that cannot be used', () => {
  test('says why, with the exit code for what may be tried again', async () => {
    writeFileSync(dir.join('broken.yaml'), 'data: ./broken\n');
    expect((await keyturn('domain', 'list', '--config', 'broken.yaml')).code).toBe(0);
    writeFileSync(dir.join('broken', 'kek'), `${Buffer.alloc(32, 7).toString('base64')}\n`, { mode: 0o600 });
    const { code, err } = await keyturn('domain', 'list', '--config', 'broken.yaml');
    expect(code).toBe(3);
    expect(err).not.toMatch(/this should not have happened|\n {4}at /);
  });
});

describe('the store and its journal', () => {
  const json = async (...args: string[]) => {
    const { code, out } = await keyturn(...args, '--config', 'kept.yaml', '--json');
    return { code, value: JSON.parse(out) };
  };

  test('a head noted earlier is found in the chain; one of another chain is not', async () => {
    writeFileSync(dir.join('kept.yaml'), 'data: ./kept\n');
    await json('domain', 'add', 'kept.example');
    const { value: noted } = await json('audit', 'verify');
    expect(noted.entries).toBeGreaterThan(0);
    expect((await json('store', 'status')).value.journal).toEqual({ entries: noted.entries, head: noted.head });
    await json('key', 'pause', 'kept.example');
    const later = await json('audit', 'verify', '--head', noted.head);
    expect(later).toMatchObject({ code: 0, value: { kind: 'intact', noted: noted.entries } });
    expect(later.value.entries).toBe(noted.entries + 1);
    const shown = await keyturn('audit', 'verify', '--config', 'kept.yaml', '--head', noted.head);
    expect(shown.out).toContain(`that of entry ${noted.entries}; 1 came after it`);
    const foreign = await json('audit', 'verify', '--head', 'ab'.repeat(32));
    expect(foreign).toMatchObject({ code: 1, value: { kind: 'another-chain' } });
    expect((await keyturn('audit', 'verify', '--head', 'abc')).code).toBe(2);
  });

  test('is described, and sealed anew under a key that is put first', async () => {
    const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(dir.join('one.pem'), pem, { mode: 0o600 });
    await json('domain', 'import', 'kept.example', '--selector', 's1', '--key', dir.join('one.pem'));
    const { value: before } = await json('store', 'status');
    expect(before).toMatchObject({ domains: { mail: 1 }, schemaVersion: expect.any(Number), toReseal: 0 });
    expect(before.sealedBy).toEqual({ [before.kek]: 1 });

    const file = dir.join('kept', 'kek');
    const old = readFileSync(file, 'utf8');
    writeFileSync(file, `${Buffer.alloc(32, 9).toString('base64')}\n${old}`);
    expect((await json('store', 'status')).value).toMatchObject({ toReseal: 1, sealedBy: { [before.kek]: 1 } });
    expect((await json('store', 'reseal', '--dry-run')).value).toMatchObject({ toReseal: 1, resealed: 0 });
    expect((await json('store', 'reseal')).value).toMatchObject({ resealed: 1 });
    writeFileSync(file, `${Buffer.alloc(32, 9).toString('base64')}\n`);
    const { value: after } = await json('store', 'status');
    expect(after).toMatchObject({ toReseal: 0, sealedBy: { [after.kek]: 1 } });
    expect(after.kek).not.toBe(before.kek);
    const { value: audit } = await json('audit', 'list');
    expect(audit.entries[0]).toMatchObject({ kind: 'store-resealed', details: { keys: 1, kek: after.kek } });
    const shown = await keyturn('store', 'status', '--config', 'kept.yaml');
    expect(shown.out).toContain(after.kek);
    expect(shown.out + JSON.stringify(after)).not.toContain(Buffer.alloc(32, 9).toString('base64'));
  });
});

describe('completion', () => {
  const scripts = ['bash', 'zsh', 'fish'] as const;
  test.each(scripts)('for %s names every command', async (shell) => {
    const { code, out } = await keyturn('completion', shell);
    expect(code).toBe(0);
    for (const word of ['domain', 'rollback', 'set-aside', '--dry-run']) expect(out).toContain(word.replace(/^--/, ''));
  });

  test('for bash completes words and options where they stand', async () => {
    writeFileSync(dir.join('completion.bash'), (await keyturn('completion', 'bash')).out);
    const complete = (...words: string[]) => {
      const list = words.map((word) => `'${word}'`).join(' ');
      const script = `source ./completion.bash; COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _keyturn; echo "\${COMPREPLY[@]}"`;
      return spawnSync(findProgram('bash') ?? 'bash', ['-c', script], { encoding: 'utf8' })
        .stdout.trim()
        .split(' ');
    };
    expect(complete('keyturn', 'do')).toEqual(['domain']);
    expect(complete('keyturn', 'key', 'ro')).toEqual(['rotate', 'rollback']);
    expect(complete('keyturn', 'key', 'rotate', 'example.com', '--d')).toEqual(['--dry-run']);
  });
});
