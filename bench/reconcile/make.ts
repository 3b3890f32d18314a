/** The process that makes the store: it is told how by a message, and ends when the store is made. */
import type { Snapshot } from '../../src/lifecycle/types.ts';
import { loadKeks } from '../../src/store/kek.ts';
import { populate, type Template } from './population.ts';

export interface Making {
  readonly path: string;
  readonly kekFile: string;
  /** A {@link PackedTemplate} as JSON. */
  readonly template: string;
  readonly domains: number;
  readonly due: number;
}

interface PackedTemplate {
  readonly snapshot: Snapshot;
  /** Key id and base64, of keys that were made for this measurement and belong to nobody. */
  readonly keys: ReadonlyArray<readonly [string, string]>;
  readonly at: number;
}

export function packTemplate({ snapshot, privateKeys, at }: Template): PackedTemplate {
  return {
    snapshot,
    at,
    keys: [...privateKeys].map(([id, key]) => [id, Buffer.from(key).toString('base64')] as const),
  };
}

function unpackTemplate(text: string): Template {
  const { snapshot, at, keys } = JSON.parse(text) as PackedTemplate;
  return { snapshot, at, privateKeys: new Map(keys.map(([id, key]) => [id, Buffer.from(key, 'base64')])) };
}

if (import.meta.main) {
  process.once('message', async ({ path, kekFile, template, domains, due }: Making) => {
    const started = performance.now();
    const progress = (done: number): void => {
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      if (done % 100_000 === 0) process.stderr.write(`  ${done} after ${seconds} s\n`);
    };
    await populate({
      path,
      keks: loadKeks({ file: kekFile }),
      template: unpackTemplate(template),
      domains,
      due,
      progress,
    });
    process.disconnect();
  });
}
