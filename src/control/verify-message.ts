/** Verifies a message's DKIM signatures by a verifier that is not ours (mailauth): what we sign is judged by others' code. */
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';

export interface VerifiedSignature {
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: string;
  /** `pass`, `fail`, `neutral`, `permerror`, `temperror`, `policy` (RFC 8601 section 2.7.1). */
  readonly result: string;
  /** Why it is not `pass`. */
  readonly comment: string;
  /** The author domain, where it is the signing domain or lies below it (DMARC's relaxed alignment, without the public suffix list). */
  readonly alignedWith: string | null;
}

/** How TXT records are found: each record as its strings; throws an error with code ENOTFOUND or ENODATA where there are none. */
export type ResolveTxt = (name: string) => Promise<string[][]>;

/** One entry for each signature, in the order of the message; empty for an unsigned one. Never throws for what a message holds. */
export async function verifyMessage(message: Uint8Array, resolveTxt: ResolveTxt): Promise<VerifiedSignature[]> {
  const { results } = await dkimVerify(Buffer.from(message), {
    resolver: async (name: string, type: string) => {
      if (type === 'TXT') return resolveTxt(name);
      throw Object.assign(new Error(`no ${type} records are asked for here`), { code: 'ENODATA' });
    },
  });
  return results.flatMap((entry) => {
    if (('type' in entry && entry.type === 'ARC') || !entry.signingDomain) return [];
    const { result, comment, aligned } = entry.status;
    return [
      {
        domain: entry.signingDomain,
        selector: entry.selector ?? '',
        algorithm: entry.algo ?? '',
        result,
        comment: typeof comment === 'string' ? comment : '',
        alignedWith: typeof aligned === 'string' ? aligned : null,
      },
    ];
  });
}
