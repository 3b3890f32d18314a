/** What of a policy the signers of a stream can do: some sign with RSA only, some with so many keys and no more. */
import { canSignWith, chosenBy, signersOf } from '../facts.ts';
import type { KeySpec, Policy } from '../policy.ts';
import type { Condition, Snapshot, StreamView } from '../types.ts';

/**
 * The policy's kinds with the counts that at least one signer can hold, in the policy's order. A kind that no counted signer of the
 * stream signs with counts 0: keys of it are neither made nor needed. Without any signer nothing is known, and all is asked for. The
 * same array's entries stand for the kinds throughout a look.
 */
export function specsFor(snapshot: Snapshot, stream: StreamView, { keys }: Policy): readonly KeySpec[] {
  const counted = signersOf(snapshot, stream.name);
  // Where all are set aside, what they can do still says what will be of use.
  const signers =
    counted.length > 0 ? counted : snapshot.signers.filter(({ streams }) => streams.includes(stream.name));
  if (signers.length === 0 || signers.every(({ abilities }) => abilities === undefined)) return keys;
  const left = new Map(signers.map((signer) => [signer, signer.abilities?.atMost ?? Number.POSITIVE_INFINITY]));
  return keys.map((spec) => {
    const able = signers.filter((signer) => canSignWith(signer, spec.algorithm));
    const count = Math.min(spec.count, Math.max(0, ...able.map((signer) => left.get(signer) ?? 0)));
    for (const signer of able) left.set(signer, Math.max(0, (left.get(signer) ?? 0) - count));
    return count === spec.count ? spec : { ...spec, count };
  });
}

/** What of the policy the signers of the stream cannot do, as conditions. */
export function abilityConditions(
  snapshot: Snapshot,
  { name }: StreamView,
  policy: Policy,
  specs: readonly KeySpec[],
): readonly Omit<Condition, 'since'>[] {
  const subject = { kind: 'stream', id: name } as const;
  const signers = signersOf(snapshot, name);
  const wanted = policy.keys.filter(({ count }) => count > 0);
  if (signers.length === 0 || wanted.length === 0) return [];
  const found: Omit<Condition, 'since'>[] = [];
  const unsigned = wanted.filter(({ algorithm }) => !signers.some((signer) => canSignWith(signer, algorithm)));
  if (unsigned.length > 0) {
    const nothing = unsigned.length === wanted.length;
    const kinds = [...new Set(unsigned.map(({ algorithm }) => NAMES[algorithm]))].join(' and ');
    const ids = signers.map(({ id }) => id).join(', ');
    found.push({
      subject,
      reason: 'algorithm-not-signed',
      severity: nothing ? 'warning' : 'info',
      message: `The policy asks for ${kinds} keys, and no signer of stream ${name} (${ids}) can sign with them: none are made${nothing ? ', so that nothing new can sign. Ask for another kind in the policy' : '. Leave the kind out of the policy'}, or have the stream signed by one that can.`,
    });
  }
  const limited = signers.filter(({ abilities }) => (abilities?.atMost ?? null) !== null);
  const fewer = limited.filter(
    (signer) => sumFor(signer.abilities?.algorithms ?? [], wanted) > (signer.abilities?.atMost ?? 0),
  );
  if (fewer.length > 0) {
    const whole = specs.reduce((sum, { count }) => sum + count, 0);
    const can = wanted.filter(({ algorithm }) => signers.some((signer) => canSignWith(signer, algorithm)));
    const capped = whole < can.reduce((sum, { count }) => sum + count, 0);
    found.push({
      subject,
      reason: 'signer-limit',
      severity: 'info',
      message: `${fewer.map(({ id, abilities }) => `${id} signs with ${abilities?.atMost} ${abilities?.atMost === 1 ? 'key' : 'keys'} at most`).join('; ')}, and the policy asks for more: it signs with those that entered last. ${capped ? 'No other signer of the stream takes the rest, which is not made.' : 'The others sign with all.'}`,
    });
  }
  return found;
}

const NAMES = { rsa: 'RSA', ed25519: 'Ed25519' } as const;

function sumFor(algorithms: readonly string[], specs: readonly KeySpec[]): number {
  return specs.reduce((sum, { algorithm, count }) => sum + (algorithms.includes(algorithm) ? count : 0), 0);
}

/**
 * A key of the stream that is to stay, and that a signer which takes only so many will sign with once others have left, but has never been
 * seen to: it signs with keys that are to leave. Entering again makes it the latest, so that the signer takes it up now.
 */
export function passedOver(
  snapshot: Snapshot,
  stream: string,
  staying: readonly string[],
  leaving: readonly string[],
): string | null {
  if (staying.length === 0 || leaving.length === 0) return null;
  for (const signer of signersOf(snapshot, stream)) {
    if ((signer.abilities?.atMost ?? null) === null) continue;
    const now = chosenBy(snapshot, signer, stream);
    const missed = chosenBy(snapshot, signer, stream, leaving).find(
      (key) => staying.includes(key.id) && key.signaturesSeen[signer.id] === undefined && !now.includes(key),
    );
    if (missed !== undefined) return missed.id;
  }
  return null;
}
