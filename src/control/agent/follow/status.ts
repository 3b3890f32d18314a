/** What a running agent says of itself, in `status.json` of its folder: for `keyturn agent status`, which needs no socket. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const status = z.object({
  /** As the control plane calls it; null before it has been greeted. */
  name: z.string().nullable(),
  pid: z.int(),
  url: z.string(),
  connection: z.enum(['up', 'down']),
  /** Epoch milliseconds, of the agent's clock, as all times here. */
  since: z.number(),
  heardAt: z.number().nullable(),
  /** Why the control plane is not reached. */
  trouble: z.string().nullable(),
  /** Milliseconds by which the clock here is ahead of the control plane's. */
  clockAhead: z.number().nullable(),
  milter: z.array(z.string()),
  domains: z.int(),
  /** Domains whose newest keyring some signer has not loaded, with the reason; the first ten. */
  behind: z.int(),
  troubles: z.array(z.object({ domain: z.string(), message: z.string() })),
  reportsWaiting: z.int(),
  at: z.number(),
});

export type AgentStatus = z.output<typeof status>;

/** Null where none was written, or not by this version. */
export function readStatus(dataFolder: string): AgentStatus | null {
  try {
    const read = status.safeParse(JSON.parse(readFileSync(join(dataFolder, 'status.json'), 'utf8')));
    return read.success ? read.data : null;
  } catch {
    return null;
  }
}
