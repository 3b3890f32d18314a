/** A program of somebody's own as a signer: started for each request, which it reads from its standard input. */
import { z } from 'zod';
import { durationBetween } from '../../settings/values.ts';
import { command } from '../files/settings.ts';
import { defineSignerKind } from '../kind.ts';
import { createRemoteSigner } from './remote.ts';
import { runProgram } from './run.ts';

/** Of every signer that speaks the protocol. */
export const remoteSettings = {
  timeout: durationBetween(100, 25_000).prefault('20s'),
  /** What it can do beside delivering, forgetting and testing. */
  supports: z.array(z.enum(['inspect', 'found'])).default([]),
  algorithms: z
    .array(z.enum(['rsa', 'ed25519']))
    .min(1)
    .default(['rsa', 'ed25519']),
  /** With how many keys it signs a message; left out: with all. */
  atMost: z.int().min(1).max(100).optional(),
  /** Requests under way at once. */
  concurrency: z.int().min(1).max(100).default(4),
};

const mostOutput = 1024 * 1024;

export const execKind = defineSignerKind({
  kind: 'exec',
  settings: z.strictObject({ command, ...remoteSettings }),
  reach: 'instance',
  abilities: ({ algorithms, atMost }) => ({ algorithms, atMost: atMost ?? null }),
  create: ({ command: words, timeout, supports, algorithms, atMost, concurrency }, dependencies) =>
    createRemoteSigner(
      {
        kind: 'exec',
        abilities: { algorithms, atMost: atMost ?? null },
        supports,
        concurrency,
        carry: (request) => runProgram({ command: words, timeout, most: mostOutput }, `${JSON.stringify(request)}\n`),
      },
      dependencies,
    ),
});
