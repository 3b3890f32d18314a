/** What the signer must remember over restarts: what it last put in place, and which helper domains it put keys on. */
import { z } from 'zod';
import { createDomainMemory, type DomainMemory } from '../domain-memory.ts';

const placed = z.object({
  shadow: z.string(),
  selector: z.string(),
  /** Epoch milliseconds. */
  at: z.number(),
});

const remembered = z.object({
  /** Of the keyring that was put in place last; 0 for none. */
  generation: z.number(),
  selector: z.string().nullable(),
  publicKey: z.string().nullable(),
  /** Keys on helper domains that we put there ourselves, or were about to when we were interrupted. */
  placed: z.array(placed).readonly(),
});

export type Remembered = Readonly<z.output<typeof remembered>>;
export type Memory = DomainMemory<Remembered>;

export function createMemory(folder: string): Memory {
  return createDomainMemory<Remembered>(folder, remembered, {
    generation: 0,
    selector: null,
    publicKey: null,
    placed: [],
  });
}
