/** Whether the program signs as it should: by a test message where there is a way to send one, else by reading the files back. */
import type { KeyObject } from 'node:crypto';
import { publicKeyFromData } from '../../dkim/key-pair.ts';
import { compareAll } from './compare.ts';
import type { DomainPlan } from './domain-plan.ts';
import { checkKeyFile, checkSigningKeyFile } from './key-files.ts';
import type { PlacedKey } from './keys.ts';
import type { Layout } from './layout.ts';
import { type ExpectedKey, judge, type Probe } from './probe.ts';
import type { Tables } from './tables.ts';

export type Verification =
  | { readonly kind: 'right' }
  /** `untold`: the program could not even be told. */
  | { readonly kind: 'wrong'; readonly message: string; readonly untold?: boolean };

/** Test messages on their way side by side. */
const sideBySide = 8;

/**
 * @param options.patient the program may not have read its tables yet: where it does not sign for the first domain as it should, the
 * others are not tried
 */
export async function verifyAll(
  plans: readonly DomainPlan[],
  layout: Layout,
  tables: Tables,
  { patient }: { readonly patient: boolean },
): Promise<ReadonlyMap<string, Verification>> {
  const results = new Map<string, Verification>();
  const [first, ...others] = plans;
  if (first === undefined) return results;
  const verify = async (plan: DomainPlan): Promise<void> => {
    results.set(plan.domain, await verifyOne(plan, layout, tables));
  };
  await verify(first);
  const firstResult = results.get(first.domain);
  if (patient && layout.probe !== null && firstResult?.kind === 'wrong') {
    for (const { domain } of others) results.set(domain, firstResult);
    return results;
  }
  const rest = others.values();
  const worker = async (): Promise<void> => {
    for (const plan of rest) await verify(plan);
  };
  await Promise.all(Array.from({ length: sideBySide }, worker));
  return results;
}

async function verifyOne(plan: DomainPlan, layout: Layout, tables: Tables): Promise<Verification> {
  if (layout.probe === null) return readBack(plan, tables, layout);
  const streams = plan.signing.size === 0 ? [['default', []] as const] : [...plan.signing];
  for (const [stream, keys] of streams) {
    const trouble = await tryStream(plan, stream, keys, layout, layout.probe);
    if (trouble !== null) return { kind: 'wrong', message: trouble };
  }
  return { kind: 'right' };
}

async function tryStream(
  { domain, ever, signing }: DomainPlan,
  stream: string,
  keys: readonly PlacedKey[],
  { program, senderOf }: Layout,
  probe: Probe,
): Promise<string | null> {
  const probed = await probe.send(domain, senderOf(domain, stream) ?? `postmaster@${domain}`);
  if (probed.kind === 'failed') return probed.message;
  const { missing, unexpected } = judge(probed, domain, keys.map(toExpected));
  const names = new Set([...ever.streams.values()].flat().map(({ selector }) => selector));
  // Of a domain that is to be forgotten what others sign is their business.
  const wrong = signing.size > 0 ? unexpected : unexpected.filter((selector) => names.has(selector));
  if (missing.length === 0 && wrong.length === 0) return null;
  const is = [
    missing.length > 0 ? `does not sign with ${missing.join(', ')} yet` : '',
    wrong.length > 0 ? `still signs with ${wrong.join(', ')}` : '',
  ].filter((part) => part !== '');
  return `${program} ${is.join(' and ')} for ${domain}. If this lasts, it has not read its tables again: check that its configuration names them, look into its log, or restart it.`;
}

async function readBack(plan: DomainPlan, tables: Tables, layout: Layout): Promise<Verification> {
  const { lost } = compareAll(await tables.read(), plan);
  if (lost !== null) return { kind: 'wrong', message: lost };
  for (const key of [...plan.signing.values()].flat()) {
    const file = await checkSigningKeyFile(key, layout);
    if (file.kind === 'missing') return { kind: 'wrong', message: `${key.file} is gone.` };
    if (file.kind !== 'right') return { kind: 'wrong', message: file.message };
  }
  return { kind: 'right' };
}

/** What is wrong with one key, in words; null where it signs. */
export async function testKey(key: PlacedKey, stream: string, layout: Layout): Promise<string | null> {
  const { domain, selector } = key;
  if (layout.probe === null) {
    const file = await checkKeyFile(key);
    if (file.kind === 'right') return null;
    return file.kind === 'missing' ? `${key.file} is gone.` : file.message;
  }
  const probed = await layout.probe.send(domain, layout.senderOf(domain, stream) ?? `postmaster@${domain}`);
  if (probed.kind === 'failed') return probed.message;
  const { missing } = judge(probed, domain, [toExpected(key)]);
  return missing.length === 0
    ? null
    : `${layout.program} did not sign the test message of ${domain} with ${selector} so that it verifies.`;
}

function toExpected({ selector, algorithm, publicKey }: PlacedKey): ExpectedKey {
  const read = publicKeyFromData(algorithm, publicKey);
  if (!read.ok) throw new Error(`the public half of ${selector} cannot be read`);
  const key: KeyObject = read.key;
  return { selector, publicKey: key };
}
