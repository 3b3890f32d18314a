/** Which signer signs what: domains by name or pattern, and streams. */
import { canSignWith } from '../lifecycle/facts.ts';
import type { Outcome, SignerAbilities, SignerView, Snapshot } from '../lifecycle/types.ts';

export interface Binding {
  readonly signerId: string;
  readonly abilities?: SignerAbilities;
  /** Names, `*.example.com` for everything below example.com, or `*`. */
  readonly domains: readonly string[];
  readonly except: readonly string[];
  /** Names, or `*`. */
  readonly streams: readonly string[];
}

/** A signer that signs every stream of every domain. */
export function bindToAll(signerId: string, abilities?: SignerAbilities): Binding {
  return { signerId, domains: ['*'], except: [], streams: ['*'], ...(abilities === undefined ? {} : { abilities }) };
}

/** The streams of the domain that the signer signs; empty where it has nothing to do with it. Shadow domains have no signers. */
export function streamsOf(binding: Binding, { domain, streams }: Snapshot): readonly string[] {
  if (domain.kind !== 'mail') return [];
  return boundStreams(
    binding,
    domain.name,
    // What somebody else signs is nobody's here.
    streams.flatMap(({ name, external }) => (external === true ? [] : [name])),
  );
}

/** Those of the domain's streams that the signer signs. */
export function boundStreams(binding: Binding, domain: string, names: readonly string[]): readonly string[] {
  if (!binding.domains.some((pattern) => fits(pattern, domain))) return [];
  if (binding.except.some((pattern) => fits(pattern, domain))) return [];
  return binding.streams.includes('*') ? names : names.filter((name) => binding.streams.includes(name));
}

function fits(pattern: string, domain: string): boolean {
  if (pattern === '*') return true;
  return pattern.startsWith('*.') ? domain.endsWith(pattern.slice(1)) : pattern === domain;
}

/** What a domain has to learn of the signers that are bound to it: new ones, and changes of streams and abilities. */
export function signerOutcomes(snapshot: Snapshot, bindings: Iterable<Binding>, at: number): Outcome[] {
  if (snapshot.domain.kind !== 'mail' || snapshot.domain.removingAt !== null) return [];
  const outcomes: Outcome[] = [];
  for (const binding of bindings) {
    const streams = streamsOf(binding, snapshot);
    const known = snapshot.signers.find(({ id }) => id === binding.signerId);
    // One that has been signing a stream goes on being asked about it until an operator removes it.
    const all =
      known === undefined ? streams : [...known.streams, ...streams.filter((name) => !known.streams.includes(name))];
    if (all.length === 0 || (known !== undefined && !isNews(known, all, binding.abilities))) continue;
    const { signerId, abilities } = binding;
    outcomes.push({
      kind: 'signer-added',
      at,
      signerId,
      streams: all,
      ...(abilities === undefined ? {} : { abilities }),
    });
  }
  return outcomes;
}

function isNews(known: SignerView, streams: readonly string[], abilities: SignerAbilities | undefined): boolean {
  return (
    known.streams.join(' ') !== streams.join(' ') ||
    known.abilities?.atMost !== abilities?.atMost ||
    known.abilities?.algorithms.join(' ') !== abilities?.algorithms.join(' ')
  );
}

/** The signer's view of the keys of the domain it should have: its streams, its algorithms. */
export function isForSigner(signer: SignerView, stream: string, algorithm: 'rsa' | 'ed25519'): boolean {
  return signer.streams.includes(stream) && canSignWith(signer, algorithm);
}
