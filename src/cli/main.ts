#!/usr/bin/env node
/** The command line's entry. A command's own code is loaded when it is called, so that `keyturn --help` answers at once. */
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// In a checkout Node has to take the types out of every file at every start, unless it may keep what it made of them. It is kept in the
// checkout: whoever can write there can change the program anyway. Where it cannot be written, Node goes without.
if (import.meta.url.endsWith('.ts'))
  enableCompileCache(fileURLToPath(new URL('../../.node/compiled', import.meta.url)));

const { run } = await import('./program.ts');
const { processTerminal } = await import('./terminal.ts');
process.exitCode = await run(process.argv.slice(2), processTerminal());
