import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { createDemoScreen } from '../../src/cli/demo-screen.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import { startRehearsal } from '../../src/control/rehearsal/rehearsal.ts';

const folders = () =>
  existsSync(tmpdir()) ? readdirSync(tmpdir()).filter((name) => name.startsWith('keyturn-demo-')) : [];

describe('the demo', () => {
  test('in short: a rotation and an emergency under mail, nothing lost, nothing left behind', {
    timeout: 120_000,
  }, async () => {
    const before = new Set(folders());
    const phases: string[] = [];
    let drawn = '';
    const terminal = {
      out: (text: string) => {
        drawn += text;
      },
      color: false,
      interactive: true,
      columns: 80,
      rows: 40,
    } as unknown as Terminal;
    const screen = createDemoScreen(terminal, () => rehearsal.counts());
    const rehearsal = startRehearsal({
      stop: new AbortController().signal,
      rotations: 1,
      messages: 120,
      onPhase: (phase) => phases.push(phase),
      onChange: screen.changed,
    });
    const result = await rehearsal.finished;
    expect(result.failures).toEqual([]);
    expect(result).toMatchObject({ unsigned: 0, unverifiable: 0, rotations: 1, emergencies: 1 });
    expect(result.messages).toBeGreaterThan(120);
    expect(result.signed).toBe(result.messages);
    expect(phases.some((phase) => phase.startsWith('emergency: '))).toBe(true);
    expect(folders().filter((name) => !before.has(name))).toEqual([]);

    screen.end();
    expect(drawn).toMatch(/kt\d{8}rsa\d +rsa-2048 .*█+▒+╌+ *│/);
    expect(drawn).toContain('leaked: the key that was declared compromised');
    expect(drawn).toContain('(end) removed');
    expect(drawn).toContain('unsigned 0');
    // Nothing that is said is cut, or runs over the edge.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with the escape character
    const lines = drawn.replace(/\x1b\[[?\d]*[A-Za-z]/g, '\n').split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines.filter((line) => line.includes('…'))).toEqual([]);
  });

  test('that is stopped ends with an error, and leaves nothing behind', { timeout: 60_000 }, async () => {
    const before = new Set(folders());
    const stop = new AbortController();
    const rehearsal = startRehearsal({
      stop: stop.signal,
      rotations: 1,
      messages: 1,
      onPhase: () => stop.abort(),
      onChange: () => undefined,
    });
    await expect(rehearsal.finished).rejects.toThrow(/stopped/);
    expect(folders().filter((name) => !before.has(name))).toEqual([]);
  });
});
