/**
 * `npm run simulate -- --years N --seed S [--replay SEED] [--without GUARD]`: lives through N domain-years of random histories.
 * Progress goes to stderr, one closing line to stdout; exit code 1, and the shortest failing history, where anything broke.
 */
import { parseArgs } from 'node:util';
import { allGuards, type Guards } from '../rules.ts';
import { type History, makeHistory } from './history.ts';
import { live } from './live.ts';
import { type RunOptions, run } from './run.ts';
import { shrink } from './shrink.ts';

const HELP = `Usage: npm run simulate -- [--years N] [--seed S] [--length Y] [--hardship H] [--without CLAUSE] [--replay SEED]

  --years N         domain-years to simulate (default 1000)
  --seed S          the first history's seed; the others follow it (default 1)
  --length Y        years in the life of one domain (default 4)
  --hardship H      how many incidents it has; 1 is plenty (default 1)
  --without CLAUSE  neglect a clause of the rules, to see it caught: ${Object.keys(allGuards).join(', ')}
  --replay SEED     tell the history of one seed, step by step, and stop
`;

process.exitCode = main(process.argv.slice(2));

function main(args: readonly string[]): number {
  const settings = read(args);
  if (typeof settings === 'string') {
    process.stderr.write(settings);
    return settings === HELP ? 0 : 2;
  }
  const { years, seed, length, hardship, guards, replay } = settings;
  if (replay !== null) return tellHistory(makeHistory(replay, length, hardship), { guards });
  let told = 0;
  const lives = live({
    years,
    seed,
    length,
    hardship,
    guards,
    progress(lived) {
      if (lived - told < Math.max(100, years / 50)) return;
      told = lived;
      process.stderr.write(`${Math.round(lived)} of ${years} domain-years\n`);
    },
  });
  if (lives.broke !== null) return tellFailure(lives.broke.history, { guards });
  process.stdout.write(
    `${Math.round(lives.years)} domain-years in ${lives.histories} histories: ${lives.changes} changes of the active set, ` +
      `${lives.messages} messages, ${lives.verified} verifications, ${lives.looks} looks; nothing broke (seed ${seed})\n`,
  );
  return 0;
}

interface Settings {
  readonly years: number;
  readonly seed: number;
  readonly length: number;
  readonly hardship: number;
  readonly guards: Guards;
  readonly replay: number | null;
}

function read(args: readonly string[]): Settings | string {
  const text = { type: 'string' } as const;
  const options = { years: text, seed: text, length: text, hardship: text, without: text, replay: text } as const;
  try {
    const { values } = parseArgs({ args: [...args], options: { ...options, help: { type: 'boolean', short: 'h' } } });
    if (values.help) return HELP;
    const number = (name: keyof typeof options, usual: number): number => {
      const value = values[name] === undefined ? usual : Number(values[name]);
      if (!Number.isFinite(value) || value < 0) throw new RangeError(`--${name} wants a number, not ${values[name]}`);
      return value;
    };
    const { without } = values;
    if (without !== undefined && !(without in allGuards)) throw new RangeError(`--without knows no clause ${without}`);
    return {
      years: number('years', 1000),
      seed: number('seed', 1),
      length: number('length', 4),
      hardship: number('hardship', 1),
      guards: without === undefined ? allGuards : { ...allGuards, [without]: false },
      replay: values.replay === undefined ? null : number('replay', 1),
    };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n\n${HELP}`;
  }
}

function tellFailure(history: History, options: RunOptions): number {
  process.stderr.write(`seed ${history.seed} breaks; looking for the shortest history that does\n`);
  const shortest = shrink(history, options);
  const { incidents, ...world } = shortest;
  const { broke } = run(shortest, options);
  process.stderr.write(`${JSON.stringify(world)}\n`);
  for (const incident of incidents) process.stderr.write(`${dayOf(incident.at)}  ${JSON.stringify(incident)}\n`);
  process.stdout.write(
    `broken after ${dayOf(broke?.at ?? 0)} days of seed ${history.seed}, with ${incidents.length} incidents: ${broke?.what}\n`,
  );
  return 1;
}

function tellHistory(history: History, options: RunOptions): number {
  const tell = (at: number, what: string): void => void process.stderr.write(`${dayOf(at)}  ${what}\n`);
  const { broke } = run(history, { ...options, tell });
  process.stdout.write(
    broke === null ? `nothing broke (seed ${history.seed})\n` : `broken after ${dayOf(broke.at)} days: ${broke.what}\n`,
  );
  return broke === null ? 0 : 1;
}

function dayOf(milliseconds: number): string {
  return (milliseconds / 86_400_000).toFixed(4);
}
