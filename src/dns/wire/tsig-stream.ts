/** Verifying a stream of signed answers, as a zone transfer is (RFC 8945 §5.3.1). */
import { type TsigKey, type Verification, verifyTsig } from './tsig.ts';

/** More messages than this between two signatures are refused. */
const mostUnsigned = 99;

export interface TsigStreamVerifier {
  /** Checks the next message; `unsigned` ones are covered by the next signature. */
  next(bytes: Uint8Array, now: number): Verification | { readonly status: 'unsigned' };
  /** Whether the stream may end here: its last message was signed. */
  complete(): boolean;
}

/** `requestMac` is the MAC of the request that opened the stream. Times are epoch seconds. */
export function createTsigStreamVerifier(key: TsigKey, requestMac: Uint8Array): TsigStreamVerifier {
  let previousMac = requestMac;
  let started = false;
  let unsigned: Uint8Array[] = [];
  return {
    next(bytes, now) {
      const verification = verifyTsig(bytes, key, { now, requestMac: previousMac, timersOnly: started, unsigned });
      if (verification.status === 'missing' && started && unsigned.length < mostUnsigned) {
        unsigned.push(bytes);
        return { status: 'unsigned' };
      }
      if (verification.status === 'ok') {
        started = true;
        previousMac = verification.mac;
        unsigned = [];
      }
      return verification;
    },
    complete: () => started && unsigned.length === 0,
  };
}
