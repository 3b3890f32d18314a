/** The keys of a domain as a table, in the order of their lives. */
import type { KeyState, KeyView, ProofSummary, Snapshot } from '../lifecycle/types.ts';
import { moment, type Paint, type Style, table } from './output.ts';

export const stateStyles: Readonly<Record<KeyState, Style>> = {
  created: 'dim',
  published: 'cyan',
  standby: 'blue',
  active: 'green',
  retiring: 'yellow',
  revoked: 'magenta',
  removed: 'dim',
};

export function keyTable({ keys, streams }: Snapshot, paint: Paint): string {
  const several = streams.length > 1;
  const rows = keys.map((key) => [
    key.selector,
    ...(several ? [key.stream] : []),
    keyKind(key),
    paint(stateStyles[key.state], key.state),
    key.proof === null ? '' : `${inDns(key.proof)} ${key.proof.serversAgreeing}/${key.proof.serversAsked}`,
    stateSince(key),
    remarks(key).join(', '),
  ]);
  const head = ['SELECTOR', ...(several ? ['STREAM'] : []), 'KIND', 'STATE', 'IN DNS', 'SINCE (UTC)', ''];
  return rows.length === 0 ? 'No keys yet.\n' : table(head, rows, paint);
}

export function keyKind({ algorithm, bits }: Pick<KeyView, 'algorithm' | 'bits'>): string {
  return algorithm === 'ed25519' ? 'ed25519' : `rsa-${bits}`;
}

/** What was found, where it was what was expected; else in what way it was not. */
function inDns({ verdict, expected }: ProofSummary): string {
  if (verdict !== 'seen') return verdict;
  return { key: 'seen', revoked: 'revoked', absent: 'gone' }[expected];
}

function stateSince(key: KeyView): string {
  const at = {
    created: key.createdAt,
    published: key.publishedAt,
    standby: key.provedSince,
    active: key.activatedAt,
    retiring: key.retiredAt,
    revoked: key.revokedAt,
    removed: key.removedAt,
  }[key.state];
  return at === null ? '' : moment(at);
}

function remarks(key: KeyView): string[] {
  return [
    ...(key.compromisedAt === null ? [] : ['compromised']),
    ...(key.rejectedAt === null ? [] : ['rejected']),
    ...(key.imported ? ['taken over'] : []),
    ...(key.wanted === undefined || key.state === 'active' ? [] : ['asked for']),
    ...(key.kept === true ? ['kept'] : []),
    ...(key.handedTo === undefined ? [] : [`record of ${key.handedTo}`]),
    ...(key.copiedFrom === undefined ? [] : [`from ${key.copiedFrom}`]),
    ...(key.ownership === 'external' ? ["somebody else's"] : []),
  ];
}
