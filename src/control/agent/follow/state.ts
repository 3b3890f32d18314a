/** What an agent's folder holds beside its keyrings: its identity, and whether it ended because another took its name. */
import { randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const state = z.object({
  install: z.uuid(),
  /** It ended because another agent holds its name: it signs nothing before it has been greeted again. */
  taken: z.boolean(),
});
export type AgentState = z.output<typeof state>;

export interface StateFile {
  readonly value: AgentState;
  setTaken(taken: boolean): void;
}

/** @throws Error naming the folder or the file. */
export function openState(folder: string): StateFile {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  const file = join(folder, 'state.json');
  let value: AgentState;
  if (existsSync(file)) {
    const read = state.safeParse(parse(readFileSync(file, 'utf8')));
    if (!read.success)
      throw new Error(
        `${file} cannot be understood: remove the folder ${folder} and let the agent fetch its keyrings anew`,
      );
    value = read.data;
  } else {
    value = { install: randomUUID(), taken: false };
    write(file, value);
  }
  return {
    get value() {
      return value;
    },
    setTaken(taken) {
      if (taken === value.taken) return;
      value = { ...value, taken };
      write(file, value);
    },
  };
}

/** Written beside and renamed: whoever reads it reads one or the other. */
export function write(file: string, value: unknown): void {
  const beside = `${file}.${randomBytes(4).toString('hex')}`;
  try {
    writeFileSync(beside, `${JSON.stringify(value)}\n`, { mode: 0o600, flush: true });
    renameSync(beside, file);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
