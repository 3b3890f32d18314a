/** Who is speaking: by a token, by a client certificate, or by both, as the agent's entry asks. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Binding } from '../../bindings.ts';

/** An agent as `signers:` names it. */
export interface KnownAgent {
  readonly name: string;
  readonly binding: Binding;
  /** Drift at it is put right without asking. */
  readonly restores: boolean;
  /** SHA-256 of its token. */
  readonly tokenHash: Buffer | null;
  readonly certificate: { readonly fingerprint?: string | undefined; readonly name?: string | undefined } | null;
}

/** What a connection shows of itself. */
export interface Shown {
  readonly token: string | null;
  readonly certificate: ShownCertificate | null;
}

export interface ShownCertificate {
  /** SHA-256, hexadecimal, lower case. */
  readonly fingerprint: string;
  readonly names: readonly string[];
  /** It comes from one of the authorities in `agents.tls.clientCa` and is valid now. */
  readonly isTrusted: boolean;
  readonly validFrom: number;
  readonly validTo: number;
}

export type Authentication =
  | { readonly kind: 'agent'; readonly agent: KnownAgent }
  /** What is wrong, without a hint at which half of a secret was right. */
  | { readonly kind: 'refused'; readonly why: string };

export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token, 'utf8').digest();
}

/** Every agent is compared with, whichever fits: the time that it takes tells nothing. */
export function authenticate(agents: readonly KnownAgent[], shown: Shown, now: number): Authentication {
  const hash = hashToken(shown.token ?? '');
  const byToken = agents.filter(
    ({ tokenHash }) => tokenHash !== null && timingSafeEqual(tokenHash, hash) && shown.token !== null,
  );
  const { certificate } = shown;
  const candidates = agents.filter((agent) =>
    agent.tokenHash === null ? agent.certificate !== null : byToken.includes(agent),
  );
  const fits = candidates.filter(
    (agent) => agent.certificate === null || certificateFits(agent.certificate, certificate, now) === null,
  );
  const [agent, second] = fits;
  if (agent !== undefined && second === undefined) return { kind: 'agent', agent };
  if (second !== undefined)
    return refused(`it fits ${fits.map(({ name }) => name).join(' and ')} alike: give each its own token`);
  const named = byToken[0];
  if (named?.certificate != null)
    return refused(certificateFits(named.certificate, certificate, now) ?? 'its certificate does not fit');
  if (shown.token !== null)
    return refused(
      'no agent of this token is known here: it was mistyped, renewed by `keyturn agent enroll`, or its entry under signers: was removed',
    );
  if (certificate !== null) {
    const isOver = candidates.find(
      ({ certificate: wanted }) => wanted?.fingerprint === certificate.fingerprint || isNamed(wanted, certificate),
    );
    return refused(
      (isOver?.certificate == null ? null : certificateFits(isOver.certificate, certificate, now)) ??
        'no agent of this certificate is known here: its entry under signers: was removed, or names another',
    );
  }
  return refused('it shows neither a token nor a certificate');
}

function refused(why: string): Authentication {
  return { kind: 'refused', why };
}

/** Null where it fits, else why not. */
function certificateFits(
  wanted: NonNullable<KnownAgent['certificate']>,
  shown: ShownCertificate | null,
  now: number,
): string | null {
  if (shown === null) return 'this agent must show its certificate (control.cert and control.key in its agent.yaml)';
  if (now > shown.validTo) return `its certificate expired at ${new Date(shown.validTo).toISOString()}: renew it`;
  if (now < shown.validFrom) return `its certificate is not valid before ${new Date(shown.validFrom).toISOString()}`;
  if (wanted.fingerprint !== undefined && wanted.fingerprint !== shown.fingerprint)
    return `its certificate has the fingerprint ${shown.fingerprint}, which is not the one in its entry`;
  if (wanted.name === undefined) return null;
  if (!shown.isTrusted) return 'its certificate does not come from an authority in agents.tls.clientCa';
  return isNamed(wanted, shown) ? null : `its certificate does not name ${wanted.name}`;
}

function isNamed(wanted: KnownAgent['certificate'], shown: ShownCertificate): boolean {
  return wanted?.name !== undefined && shown.names.includes(wanted.name);
}

/** What a request shows: the bearer token of its header, and the certificate of its connection. */
export function shownBy(authorization: string | undefined, socket: TLSSocket | null): Shown {
  const token = /^Bearer ([\x21-\x7e]{1,500})$/i.exec(authorization ?? '')?.[1] ?? null;
  const peer = socket?.getPeerX509Certificate();
  if (socket === null || peer === undefined) return { token, certificate: null };
  return {
    token,
    certificate: {
      fingerprint: peer.fingerprint256.toLowerCase().replaceAll(':', ''),
      names: [...(peer.subjectAltName ?? '').matchAll(/(?:^|, )DNS:([^,"]+)/g)].map(([, dns]) =>
        (dns ?? '').toLowerCase(),
      ),
      isTrusted: socket.authorized,
      validFrom: peer.validFromDate.getTime(),
      validTo: peer.validToDate.getTime(),
    },
  };
}
