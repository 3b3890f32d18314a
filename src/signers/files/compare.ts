/** What stands in the tables, compared with what should, in words. No line is ever repeated: some tables hold keys. */
import type { DomainPlan } from './domain-plan.ts';
import { compareTable, type TableSpec } from './table.ts';
import type { Tables } from './tables.ts';

export interface Foreign {
  readonly path: string;
  readonly count: number;
}

export interface Difference {
  /** Tables with lines of somebody else's about the domain. */
  readonly foreign: readonly Foreign[];
  /** What is missing of ours, or stands there still; null for nothing. */
  readonly lost: string | null;
}

export function compareAll(there: Awaited<ReturnType<Tables['read']>>, plan: DomainPlan): Difference {
  const { domain } = plan;
  const compared = there.map(({ spec, linesOf }) => ({
    path: spec.path,
    ...compareTable(spec, linesOf(domain), wantedIn(spec, plan), plan.ever),
  }));
  const lost = compared.find(({ missing, stale }) => missing.length > 0 || stale.length > 0);
  return {
    foreign: compared.flatMap(({ path, foreign }) => (foreign.length > 0 ? [{ path, count: foreign.length }] : [])),
    lost:
      lost === undefined
        ? null
        : lost.missing.length > 0
          ? `${lost.path} lacks ${count(lost.missing.length, 'line')} of ${domain} that Keyturn wrote there.`
          : `${lost.path} names keys of ${domain} again that should sign no more.`,
  };
}

/** Of known keys only those that sign have to be there. */
function wantedIn({ holds }: TableSpec, { wanted, known }: DomainPlan): DomainPlan['wanted'] {
  return holds === 'signing' ? wanted : known;
}

export function describe(foreign: readonly Foreign[], domain: string): string {
  const places = foreign.map(({ path, count: lines }) => `${path} has ${count(lines, 'line')} about ${domain}`);
  return `${places.join(', and ')} that Keyturn did not write there. Take the keys over with \`keyturn key import\`, or remove the lines; then restore the signer.`;
}

function count(n: number, what: string): string {
  return n === 1 ? `one ${what}` : `${n} ${what}s`;
}
