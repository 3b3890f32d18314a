import { writeFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { loadAgentConfig } from '../../src/control/agent/follow/config.ts';
import { ConfigError, parseConfig } from '../../src/control/config/load.ts';
import { openMemoryStore } from '../../src/store/open.ts';
import { keyturn, keyturnJson } from '../support/keyturn.ts';
import { freePort } from '../support/ports.ts';
import { tempDir } from '../support/temp.ts';
import { startControl, token } from './scene.ts';

const dir = tempDir('agent-command');
afterAll(() => dir.remove());

describe('keyturn agent', () => {
  test('enroll prints what both sides take, and says what is still to be done', async () => {
    writeFileSync(dir.join('keyturn.yaml'), '');
    const without = await keyturn(['agent', 'enroll', 'mx1'], { cwd: dir.path });
    expect(without.code).toBe(1);
    expect(without.stderr).toContain('give --url');
    const told = await keyturn(['agent', 'enroll', 'mx1', '--url', 'https://k.test:8843'], { cwd: dir.path });
    expect(told.code).toBe(0);
    expect(told.stderr).toContain('agents.listen is empty');
    const made = await keyturnJson<Record<'entry' | 'agent' | 'token' | 'tokenHash', string>>(
      ['agent', 'enroll', 'mx1', '--url', 'https://k.test:8843'],
      { cwd: dir.path },
    );
    const { signers } = parseConfig(`signers:\n${made.entry}`, 'printed');
    expect(signers[0]).toMatchObject({ kind: 'agent', name: 'mx1', tokenHash: made.tokenHash });
    // The hash alone stands in keyturn.yaml; each call makes another token.
    expect(made.entry).not.toContain(made.token);
    expect(told.stdout).not.toContain(made.token);
    expect((await keyturn(['agent', 'enroll', 'No Name'], { cwd: dir.path })).code).toBe(2);
  });

  test('without its file, or with one that is wrong, says what is to be done', async () => {
    using empty = tempDir('empty');
    const none = await keyturn(['agent'], { cwd: empty.path });
    expect(none.code).toBe(2);
    expect(none.stderr).toMatch(/there is no agent\.yaml .*keyturn agent enroll/);
    const wrong: ReadonlyArray<readonly [object, RegExp]> = [
      [{ control: { url: 'https://k.test', token } }, /no signer is named/],
      [{ control: { url: 'http://k.test', token }, milter: {} }, /must be https/],
      [{ control: { url: 'https://k.test' }, milter: {} }, /give a token, or cert and key/],
      [
        { control: { url: 'https://k.test', token, pins: 'x' }, milter: {} },
        /there is no such setting \(did you mean pin\?\)/,
      ],
      [{ control: { url: 'https://k.test', token }, signers: [{ kind: 'agent', name: 'a', token }] }, /cannot drive/],
    ];
    for (const [settings, message] of wrong) {
      writeFileSync(empty.join('agent.yaml'), stringify(settings));
      let told = '';
      try {
        loadAgentConfig(empty.join('agent.yaml'), { env: {}, workingFolder: empty.path });
      } catch (error) {
        told = error instanceof ConfigError ? error.message : 'not a ConfigError';
      }
      expect(told).toMatch(message);
      expect(told).not.toContain(token);
    }
  });

  test('check compares both sides; status says that none runs', async () => {
    using here = tempDir('check');
    await using store = await openMemoryStore();
    await using control = await startControl(store, {
      signers: [{ kind: 'agent', name: 'mx1', token, algorithms: ['rsa'] }],
    });
    const write = (url: string, given: string) =>
      writeFileSync(here.join('agent.yaml'), stringify({ control: { url, token: given }, data: 'data', milter: {} }));
    const check = () => keyturn(['agent', 'check'], { cwd: here.path });
    write(control.url, token);
    const good = await check();
    expect(good.code, good.stdout).toBe(0);
    expect(good.stdout).toContain('knows this agent as mx1');
    expect(good.stdout).toContain('its signers can be used: milter (milter)');
    write(control.url, `${token}x`);
    const refused = await check();
    expect(refused.code).toBe(1);
    expect(refused.stdout).toContain('no agent of this token is known here');
    write(`http://127.0.0.1:${await freePort()}`, token);
    const away = await check();
    expect(away.code).toBe(3);
    expect(away.stdout).toContain('is not reached');
    const status = await keyturn(['agent', 'status'], { cwd: here.path });
    expect(status.code).toBe(3);
    expect(status.stderr).toContain('no agent runs in');
  });
});
