import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { createDomainMemory } from './domain-memory.ts';

const schema = z.object({ generation: z.number() });
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyturn-memory-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = () => createDomainMemory(folder, schema, { generation: 0 });

test.each(['example.com', `${'a.'.repeat(125)}com`, `${'a.'.repeat(124)}b.com`])(
  'what is remembered of %s is there after a restart, and gone when it is forgotten',
  (domain) => {
    const other = `${'a.'.repeat(124)}c.com`;
    open().put(other, { generation: 9 });
    open().put(domain, { generation: 3 });
    expect(open().get(domain)).toEqual({ generation: 3 });
    open().forget(domain);
    expect(open().get(domain)).toEqual({ generation: 0 });
    expect(open().get(other)).toEqual({ generation: 9 });
    expect(readdirSync(folder)).toHaveLength(1);
  },
);
