/** Many lives, one after another. */
import type { Guards } from '../rules.ts';
import { type History, makeHistory, YEAR } from './history.ts';
import { type Run, run } from './run.ts';

export interface Lives {
  /** The first history that broke, and how; null when none did. */
  readonly broke: { readonly history: History; readonly run: Run } | null;
  readonly years: number;
  readonly histories: number;
  readonly looks: number;
  readonly messages: number;
  readonly verified: number;
  readonly changes: number;
}

export interface LivesWanted {
  /** Domain-years in all. */
  readonly years: number;
  /** Of the first history; the others follow it. */
  readonly seed: number;
  /** Years in one domain's life (4). */
  readonly length?: number;
  readonly hardship?: number;
  readonly guards?: Guards;
  readonly progress?: (years: number) => void;
}

/** Lives through histories until the years are full or one breaks. */
export function live({ years, seed, length = 4, hardship = 1, guards, progress }: LivesWanted): Lives {
  const sum = { looks: 0, messages: 0, verified: 0, changes: 0 };
  let lived = 0;
  let histories = 0;
  while (lived < years) {
    const history = makeHistory(seed + histories, length, hardship);
    const result = run(history, guards === undefined ? {} : { guards });
    histories++;
    lived += history.length / YEAR;
    for (const what of ['looks', 'messages', 'verified', 'changes'] as const) sum[what] += result[what];
    if (result.broke !== null) return { broke: { history, run: result }, years: lived, histories, ...sum };
    progress?.(lived);
  }
  return { broke: null, years: lived, histories, ...sum };
}
