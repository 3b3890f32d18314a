/** The lines that people paste, read by BIND's own zone compiler. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordInstructions } from '../../src/dns/publish/instructions.ts';
import { createManualPublisher } from '../../src/dns/publish/manual.ts';
import { need } from '../support/need.ts';
import { runOk } from '../support/processes.ts';
import { type TempDir, tempDir } from '../support/temp.ts';

const name = 's1._domainkey.example.com';
const values = [
  'v=DKIM1; p=',
  'v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
  `v=DKIM1; k=rsa; p=${'A'.repeat(400)}`,
  'x'.repeat(255),
  'y'.repeat(256),
  `n="quoted" and \\ backslash; (parentheses) ; ${'ü'.repeat(3)}\t.`,
];

describe('recordInstructions', () => {
  it('give the value whole and in strings that join to it', () => {
    for (const value of values) {
      const { strings, ...rest } = recordInstructions({ name, desired: { value, ttl: 300 }, ours: [] });
      expect(rest).toMatchObject({ action: 'set', name, ttl: 300, value });
      expect(strings.join('')).toBe(value);
      expect(strings.every((string) => string.length <= 255)).toBe(true);
    }
  });

  it('say what to delete', () => {
    expect(recordInstructions({ name, desired: null, ours: ['v=DKIM1; p='] })).toEqual({
      action: 'delete',
      name,
      ttl: 0,
      value: '',
      strings: [],
      zoneFile: `; delete: ${name}. IN TXT`,
    });
  });

  it('are what the manual publisher answers', async () => {
    const change = { name, desired: { value: values[2] ?? '', ttl: 300 }, ours: [] };
    expect(await createManualPublisher().apply(change)).toEqual({
      kind: 'waiting',
      instructions: recordInstructions(change),
    });
  });
});

describe.skipIf(!need('named-checkzone', 'bind9-utils'))('the zone-file form', () => {
  let dir: TempDir;
  beforeAll(() => {
    dir = tempDir('instructions');
  });
  afterAll(() => dir.remove());

  it('means the same to BIND', async () => {
    const lines = values.map(
      (value, i) =>
        recordInstructions({ name: `k${i}._domainkey.example.com`, desired: { value, ttl: 300 + i }, ours: [] })
          .zoneFile,
    );
    const file = dir.join('zone');
    writeFileSync(file, `$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 127.0.0.1\n${lines.join('\n')}\n`);
    const compiled = await runOk('named-checkzone', ['-D', '-o', '-', 'example.com', file]);
    for (const [i, value] of values.entries()) {
      const line = compiled.split('\n').find((text) => text.startsWith(`k${i}._domainkey.example.com.`)) ?? '';
      const [, ttl, quoted = ''] = /\s(\d+)\s+IN\s+TXT\s+(.*)$/.exec(line) ?? [];
      expect(Number(ttl)).toBe(300 + i);
      const strings = [...quoted.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) =>
        text.replace(/\\(\d{3}|.)/g, (_, escaped: string) =>
          escaped.length === 3 ? String.fromCharCode(Number(escaped)) : escaped,
        ),
      );
      expect(strings.join('')).toBe(value);
    }
  });
});
