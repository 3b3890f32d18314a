/**
 * A signer that is given its keys in files. Key files come first, each under a name of its own; then the tables that name them; then the
 * program is told; then test messages show what it signs with, and only that is an acknowledgement. Every state in between is one in
 * which all tables name files that are there.
 */

import type { Keyring } from '../keyring.ts';
import type { SignerDependencies } from '../kind.ts';
import type { Delivery, Inspection, Signer } from '../signer.ts';
import { draftOf, removeFile, systemTrouble } from './atomic.ts';
import { compareAll, type Difference, describe } from './compare.ts';
import {
  byStream,
  type DomainPlan,
  emptyPlan,
  entryOf,
  isOfDomain,
  placedBefore,
  planDomain,
  withoutReplaced,
} from './domain-plan.ts';
import { findKeys } from './find.ts';
import { gather } from './gather.ts';
import { checkSigningKeyFile, removeKeyFile, writeKeyFile } from './key-files.ts';
import type { Layout } from './layout.ts';
import { reload } from './reload.ts';
import { type Entry, openState } from './state.ts';
import type { TableChange } from './table.ts';
import { openTables } from './tables.ts';
import { testKey, type Verification, verifyAll } from './verify.ts';

type Job =
  | { readonly kind: 'deliver'; readonly keyring: Keyring; answer: (delivery: Delivery) => void }
  | { readonly kind: 'clean'; readonly keyring: Keyring }
  | { readonly kind: 'forget'; readonly domain: string; answer: (trouble: string | null) => void };

/** A domain's delivery that is under way. */
interface Begun {
  readonly plan: DomainPlan;
  readonly keyring: Keyring;
  readonly answer: (delivery: Delivery) => void;
}

/** Deliveries that come within so many milliseconds of one another are done together, and so many at most. */
const quiet = 10;
const most = 1000;
/** Key files written or read side by side. */
const sideBySide = 16;
/** So many deliveries may come to nothing before it is called a failure. */
const patientDeliveries = 2;

/** @throws Error where what is kept beside the signer cannot be read. */
export async function createFilesSigner(layout: Layout, { id, folder, log }: SignerDependencies): Promise<Signer> {
  const state = await openState(folder);
  const tables = openTables(layout.tables);
  const failures = new Map<string, number>();
  /** One path for one key after the other: the new one takes the place of the old one. */
  const hasFixedPaths = !layout.keyFile.path.names.has('fingerprint');
  await removeDrafts();
  const work = gather<Job>(run, { quiet, most });

  /** What a crash left half written: a part of a private key may lie in it. */
  async function removeDrafts(): Promise<void> {
    const files = [...state.entries()].flatMap(({ keys }) => Object.values(keys).map(({ file }) => file));
    for (const file of [...files, ...layout.tables.map(({ path }) => path)]) {
      await removeFile(draftOf(file)).catch((error) =>
        log('warn', 'draft-not-removed', { file, error: systemTrouble(error) }),
      );
    }
  }

  /** Each domain once at a time: later jobs of the same domain see what the earlier ones did. */
  async function run(jobs: readonly Job[]): Promise<void> {
    let rest = jobs;
    while (rest.length > 0) {
      const now = new Map<string, Job>();
      const later: Job[] = [];
      for (const job of rest) {
        const domain = job.kind === 'forget' ? job.domain : job.keyring.domain;
        if (now.has(domain)) later.push(job);
        else now.set(domain, job);
      }
      const all = [...now.values()];
      await deliverAll(all.filter((job) => job.kind === 'deliver'));
      await forgetAll(all.filter((job) => job.kind === 'forget'));
      await cleanAll(all.filter((job) => job.kind === 'clean'));
      rest = later;
    }
  }

  async function deliverAll(jobs: readonly Extract<Job, { kind: 'deliver' }>[]): Promise<void> {
    if (jobs.length === 0) return;
    let begun: ReadonlyMap<string, Begun> = new Map();
    try {
      const there = await tables.read();
      const decided = new Map<string, Begun>();
      for (const { keyring, answer } of jobs) {
        const decision = decide(keyring, there);
        if (decision.kind === 'go-on') decided.set(keyring.domain, { plan: decision.plan, keyring, answer });
        else answer(decision);
      }
      begun = decided;
      const isNews = [...begun.values()].some(({ plan }) => state.get(plan.domain)?.loaded !== plan.generation);
      // From here on the new keys are known to be ours, whatever crashes.
      await state.put(
        new Map([...begun.values()].map(({ plan }) => [plan.domain, entryOf(plan, state.get(plan.domain))])),
      );
      begun = await writeKeys(begun);
      const changes = (known: (plan: DomainPlan) => TableChange['wanted']): ReadonlyMap<string, TableChange> =>
        new Map(
          [...begun].map(([domain, { plan, keyring }]) => [
            domain,
            { wanted: known(plan), known: plan.ever, overwrite: keyring.overwrite === true },
          ]),
        );
      const grew = await tables.edit(
        'known',
        changes((plan) => plan.withLeftovers),
      );
      const changed = await tables.edit(
        'signing',
        changes((plan) => plan.wanted),
      );
      if (begun.size === 0) return;
      if (grew || changed) log('debug', 'signer-files-written', { domains: begun.size });
      const verified = await settle(
        [...begun.values()].map(({ plan }) => plan),
        isNews || grew || changed,
      );
      await acknowledge(begun, verified);
    } catch (error) {
      const message = `The files of ${layout.program} cannot be written: ${systemTrouble(error)}. What it had it still has.`;
      // Those that have their answer keep it.
      for (const { answer } of jobs) answer({ kind: 'failed', message });
    }
  }

  function decide(
    keyring: Keyring,
    there: Awaited<ReturnType<typeof tables.read>>,
  ): Delivery | { readonly kind: 'go-on'; readonly plan: DomainPlan } {
    const { domain, generation, mustSign, streams } = keyring;
    const entry = state.get(domain);
    if (entry !== undefined && generation < entry.asked) {
      return entry.loaded === entry.asked
        ? { kind: 'acknowledged', generation: entry.loaded }
        : { kind: 'pending', message: `Generation ${entry.asked} of ${domain} is on its way to ${layout.program}.` };
    }
    if (Object.values(streams).every((keys) => keys.length === 0)) {
      const holds = entry !== undefined && Object.keys(entry.streams).length > 0;
      if (!mustSign && !holds) return { kind: 'acknowledged', generation };
      return {
        kind: 'failed',
        message: `The keyring of ${domain} has no key that ${layout.program} can sign with, so it keeps what it has. Give the policy a kind of key that it can use, or remove the signer from the domain.`,
      };
    }
    let plan: DomainPlan;
    try {
      plan = planDomain(keyring, entry, layout);
    } catch (error) {
      return { kind: 'failed', message: `The keys of ${domain} cannot be put into files: ${systemTrouble(error)}.` };
    }
    for (const stream of plan.signing.keys()) {
      if (layout.senderOf(domain, stream) !== null) continue;
      const message = `${layout.program} cannot tell the stream ${stream} of ${domain} from others: say in the settings of ${id} whose mail it is, or leave the stream out of \`signs.streams\`.`;
      return { kind: 'failed', message };
    }
    if (keyring.overwrite !== true) {
      const { foreign } = compareAll(there, plan);
      if (foreign.length > 0) return { kind: 'drifted', message: describe(foreign, domain) };
    }
    return { kind: 'go-on', plan };
  }

  /** Those whose key files are there now; the others have their answer. */
  async function writeKeys(begun: ReadonlyMap<string, Begun>): Promise<ReadonlyMap<string, Begun>> {
    const written = new Map(begun);
    const keys = [...begun.values()].flatMap((each) =>
      [...each.plan.signing.values()].flat().map((key) => ({ key, each })),
    );
    await inTurns(keys, async ({ key, each: { plan, keyring, answer } }) => {
      const result = await writeKeyFile(
        key,
        layout,
        (found) => keyring.overwrite === true || (hasFixedPaths && isOfDomain(found, plan)),
      );
      if (result.kind !== 'written' && written.delete(plan.domain)) answer(result);
    });
    return written;
  }

  /** Tells the program, and tries it until it does what it should or patience is over. */
  async function settle(plans: readonly DomainPlan[], tell: boolean): Promise<ReadonlyMap<string, Verification>> {
    const how = layout.reload;
    let trouble = tell && how !== null ? await reload(how) : null;
    const start = performance.now();
    let hasRepeated = false;
    let open = plans;
    const verified = new Map<string, Verification>();
    for (let pause = 50; ; pause = Math.min(2 * pause, 1000)) {
      const over = performance.now() - start > layout.patience;
      for (const [domain, result] of await verifyAll(open, layout, tables, { patient: !over }))
        verified.set(domain, result);
      open = open.filter(({ domain }) => verified.get(domain)?.kind !== 'right');
      if (open.length === 0 || over || layout.probe === null) break;
      await new Promise((resolve) => setTimeout(resolve, pause));
      // A signal may have been lost, or may have come while the program was starting. A command may be a restart: it is given its time.
      const isHalfOver = performance.now() - start > layout.patience / 2;
      if (how === null || (how.kind === 'command' && (hasRepeated || !isHalfOver))) continue;
      hasRepeated = true;
      trouble = await reload(how);
    }
    if (trouble === null) return verified;
    // Told or not: what signs as it should has been told enough, but where nothing shows it the telling is all there is.
    const untold = trouble;
    return new Map(
      [...verified].map(([domain, result]) => [
        domain,
        result.kind === 'right' && layout.probe !== null
          ? result
          : { kind: 'wrong', message: result.kind === 'right' ? untold : `${untold} ${result.message}`, untold: true },
      ]),
    );
  }

  async function acknowledge(
    begun: ReadonlyMap<string, Begun>,
    verified: ReadonlyMap<string, Verification>,
  ): Promise<void> {
    const loaded = new Map<string, Entry>();
    for (const [domain, { plan }] of begun) {
      const entry = state.get(domain);
      if (verified.get(domain)?.kind === 'right' && entry !== undefined && entry.loaded !== plan.generation)
        loaded.set(domain, { ...entry, loaded: plan.generation, keys: withoutReplaced(entry, plan) });
    }
    await state.put(loaded);
    for (const [domain, { plan, answer }] of begun) {
      const result = verified.get(domain);
      if (result?.kind === 'right') {
        failures.delete(domain);
        answer({ kind: 'acknowledged', generation: plan.generation });
        continue;
      }
      const before = failures.get(domain) ?? 0;
      failures.set(domain, before + 1);
      const message = result?.message ?? `${layout.program} was not tried for ${domain}.`;
      const isFailure = result?.untold === true || before >= patientDeliveries;
      answer({ kind: isFailure ? 'failed' : 'pending', message });
    }
  }

  async function forgetAll(jobs: readonly Extract<Job, { kind: 'forget' }>[]): Promise<void> {
    const held = jobs.flatMap(({ domain, answer }) => {
      const entry = state.get(domain);
      if (entry === undefined) answer(null);
      return entry === undefined ? [] : [{ domain, answer, entry }];
    });
    if (held.length === 0) return;
    const changes = new Map<string, TableChange>(
      held.map(({ domain, entry }) => [
        domain,
        { wanted: byStream(domain, []), known: byStream(domain, placedBefore(entry)), overwrite: false },
      ]),
    );
    try {
      await tables.edit('signing', changes);
      const plans = held.map(({ domain, entry }) => emptyPlan(domain, entry));
      const verified = await settle(plans, true);
      const done = held.filter(({ domain }) => verified.get(domain)?.kind === 'right');
      const gone = new Set(done.map(({ domain }) => domain));
      // Nothing asks for the keys any more: what named them goes first.
      await tables.edit('known', new Map([...changes].filter(([domain]) => gone.has(domain))));
      for (const { entry } of done) await inTurns(Object.values(entry.keys), removeKeyFile);
      await state.put(new Map(done.map(({ domain }) => [domain, null])));
      for (const { domain, answer } of held) {
        const result = verified.get(domain);
        answer(result?.kind === 'right' ? null : (result?.message ?? 'it was not tried.'));
      }
    } catch (error) {
      for (const { answer } of held)
        answer(`the files of ${layout.program} cannot be changed: ${systemTrouble(error)}.`);
    }
  }

  async function cleanAll(jobs: readonly Extract<Job, { kind: 'clean' }>[]): Promise<void> {
    const plans = jobs.flatMap(({ keyring }) => {
      const entry = state.get(keyring.domain);
      if (entry === undefined || entry.loaded !== keyring.generation || entry.asked !== keyring.generation) return [];
      const plan = planDomain(keyring, entry, layout);
      return plan.leftovers.length > 0 ? [{ plan, entry }] : [];
    });
    if (plans.length === 0) return;
    await tables.edit(
      'known',
      new Map(plans.map(({ plan }) => [plan.domain, { wanted: plan.known, known: plan.ever, overwrite: false }])),
    );
    await inTurns(
      plans.flatMap(({ plan }) => plan.leftovers),
      removeKeyFile,
    );
    await state.put(
      new Map(
        plans.map(({ plan, entry }) => {
          const gone = new Set(plan.leftovers.map(({ fingerprint }) => fingerprint));
          const keys = Object.fromEntries(Object.entries(entry.keys).filter(([fingerprint]) => !gone.has(fingerprint)));
          return [plan.domain, { ...entry, keys }];
        }),
      ),
    );
  }

  async function inspect(keyring: Keyring): Promise<Inspection> {
    const { domain, streams } = keyring;
    if (Object.values(streams).every((keys) => keys.length === 0)) return { kind: 'as-delivered' };
    let difference: Difference;
    let plan: DomainPlan;
    try {
      plan = planDomain(keyring, state.get(domain), layout);
      difference = compareAll(await tables.read(), plan);
    } catch (error) {
      return {
        kind: 'unknown',
        message: `The files of ${layout.program} cannot be looked at: ${systemTrouble(error)}.`,
      };
    }
    if (difference.foreign.length > 0) return { kind: 'changed', message: describe(difference.foreign, domain) };
    for (const key of [...plan.signing.values()].flat()) {
      const found = await checkSigningKeyFile(key, layout);
      if (found.kind === 'other') return { kind: 'changed', message: found.message };
      if (found.kind === 'unreadable') return { kind: 'unknown', message: found.message };
      if (found.kind === 'missing') return { kind: 'lost', message: `${key.file} is gone.` };
    }
    if (difference.lost !== null) return { kind: 'lost', message: difference.lost };
    try {
      if (plan.leftovers.length > 0) await work.add({ kind: 'clean', keyring });
    } catch (error) {
      log('warn', 'old-keys-not-removed', { domain, error: systemTrouble(error) });
    }
    return { kind: 'as-delivered' };
  }

  return {
    id,
    kind: layout.kind,
    abilities: layout.abilities,
    async deliver(keyring) {
      let delivery: Delivery = { kind: 'failed', message: `${id} is being closed.` };
      let answered = false;
      await work.add({
        kind: 'deliver',
        keyring,
        answer(given) {
          if (!answered) delivery = given;
          answered = true;
        },
      });
      return delivery;
    },
    async forget(domain) {
      let trouble: string | null = null;
      await work.add({
        kind: 'forget',
        domain,
        answer(given) {
          trouble = given;
        },
      });
      if (trouble !== null) throw new Error(`${id} cannot forget ${domain}: ${trouble}`);
    },
    async selfTest(domain, stream, selector) {
      const entry = state.get(domain);
      const key = placedBefore(entry).find(
        (each) => each.selector === selector && (entry?.streams[stream] ?? []).includes(each.fingerprint),
      );
      if (entry === undefined || key === undefined)
        return {
          kind: 'failed',
          message: `${layout.program} was not given ${selector}._domainkey.${domain} for the stream ${stream}.`,
        };
      const message = await testKey(key, stream, layout);
      return message === null ? { kind: 'signed' } : { kind: 'failed', message };
    },
    inspect,
    found: (domain) => findKeys(domain, tables, placedBefore(state.get(domain)), layout),
    async close() {
      await work.close();
      await layout.probe?.close?.();
    },
  };
}

async function inTurns<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await task(item);
  };
  await Promise.all(Array.from({ length: Math.min(sideBySide, items.length) }, worker));
}
