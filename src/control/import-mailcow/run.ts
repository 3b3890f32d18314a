/** The whole of an import: sort what was read, ask DNS, take over, report. mailcow itself is only read. */
import type { Prover } from '../../dns/lookup/prove.ts';
import { signerKinds } from '../../signers/kinds.ts';
import type { Config } from '../config/schema.ts';
import type { Operator } from '../operations.ts';
import { bindingsOf } from '../signers.ts';
import { type ImportReport, reportOf } from './report.ts';
import type { MailcowHashes } from './source.ts';
import { checkRecords } from './state-of-dns.ts';
import { surveyMailcow } from './survey.ts';
import { takeOver } from './take-over.ts';

export interface ImportOptions {
  readonly operator: Operator;
  readonly config: Config;
  readonly policy: string;
  readonly shadowPatterns: readonly string[];
  /** Domains that have mail of their own, though they hold the key of a domain above them. */
  readonly mailDomains: readonly string[];
  /** Only these; empty for all. */
  readonly only: readonly string[];
  /** Null: DNS is not asked. */
  readonly prover: Prover | null;
  readonly progress?: (what: 'keys' | 'records' | 'domains', done: number, of: number) => void;
}

/** @throws Error where there is no such policy. */
export async function importMailcow(hashes: MailcowHashes, options: ImportOptions): Promise<ImportReport> {
  const { operator, config, policy, shadowPatterns, mailDomains, only, prover, progress = () => undefined } = options;
  const told = (what: Parameters<typeof progress>[0]) => (done: number, of: number) => progress(what, done, of);
  const survey = await surveyMailcow(hashes, { shadowPatterns, only, progress: told('keys') });
  const domains = survey.domains.map((domain) =>
    mailDomains.includes(domain.name)
      ? { ...domain, kind: 'mail' as const, shadowOf: null, perhapsShadowOf: null }
      : domain,
  );
  const checked = await checkRecords(domains, prover, told('records'));
  const taken = await takeOver(checked, {
    operator,
    policy,
    bindings: bindingsOf(config),
    keepers: keepersOf(config),
    progress: told('domains'),
  });
  return reportOf(taken, survey.orphans, operator.dryRun === true);
}

/** Names of the signers that make keys themselves and may keep the private halves. */
function keepersOf({ signers }: Config): ReadonlySet<string> {
  const makers = signerKinds.filter(({ kind }) => kind === 'mailcow-api').map(({ kind }) => kind);
  return new Set(
    signers.filter(({ kind, importKeys }) => makers.includes(kind) && importKeys !== true).map(({ name }) => name),
  );
}
