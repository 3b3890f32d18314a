#!/usr/bin/env node
/** The command line's entry. A command's own code is loaded when it is called, so that `keyturn --help` answers at once. */
import { run } from './program.ts';
import { processTerminal } from './terminal.ts';

process.exitCode = await run(process.argv.slice(2), processTerminal());
