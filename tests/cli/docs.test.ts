import { readdirSync, readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { exitCodes } from '../../src/cli/exit.ts';
import { buildProgram } from '../../src/cli/program.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import { configJsonSchema, parseConfig } from '../../src/control/config/load.ts';

const read = (page: string) => readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8');

describe('the pages', () => {
  test('docs/cli.md names every command and every exit code', async () => {
    const page = read('cli.md');
    const terminal = { out: () => {}, err: () => {}, columns: 100, color: false } as unknown as Terminal;
    const program = await buildProgram({ terminal, exit: () => {}, stop: new AbortController().signal }, 'all');
    const leaves = (command: Command, words: string): string[] => {
      const children = command.commands.filter((child) => child.name() !== 'help');
      return children.length === 0 ? [words] : children.flatMap((child) => leaves(child, `${words} ${child.name()}`));
    };
    for (const words of leaves(program, 'keyturn')) expect(page).toContain(`\`${words}`);
    for (const code of Object.values(exitCodes)) expect(page).toContain(`| ${code} |`);
  });

  test('docs/configuration.md, or the page of its signer, names every setting', () => {
    const signers = readdirSync(new URL('../../docs/signers/', import.meta.url)).filter((file) => file.endsWith('.md'));
    const page = ['configuration.md', ...signers.map((file) => `signers/${file}`)].map(read).join('\n');
    const names = new Set<string>();
    const collect = (node: unknown): void => {
      if (typeof node !== 'object' || node === null) return;
      for (const [key, value] of Object.entries(node)) {
        if (key === 'properties') for (const name of Object.keys(value)) names.add(name);
        collect(value);
      }
    };
    collect(configJsonSchema());
    expect(names.size).toBeGreaterThan(50);
    for (const name of names) expect(page, name).toMatch(new RegExp(`[\`{., ]${name}\\b`));
  });

  test('the configurations that docs/configuration.md shows are right', () => {
    const examples = [...read('configuration.md').matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text ?? '');
    expect(examples.length).toBeGreaterThanOrEqual(2);
    for (const example of examples) expect(() => parseConfig(example, 'example')).not.toThrow();
  });
});
