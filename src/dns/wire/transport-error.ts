import type { Message } from './message.ts';
import type { Verification } from './tsig.ts';

export type TransportErrorCode =
  /** No acceptable answer in time. */
  | 'timeout'
  /** Nothing listens there. */
  | 'refused'
  /** This machine has no way there, or the network says that there is none. */
  | 'unreachable'
  /** The peer ended the connection before its answer was complete. */
  | 'closed'
  /** What came is not a DNS message. */
  | 'malformed'
  /** A message came that does not belong to the request. */
  | 'mismatch'
  /** The answer's TSIG is missing or wrong. */
  | 'tsig'
  /** The caller's signal. */
  | 'aborted'
  /** Any other error of the operating system. */
  | 'system';

export interface TransportErrorDetails {
  /** Whether the request may have reached the server: false only where it was certainly never sent whole. */
  readonly sent: boolean;
  /** Over what it failed; over neither where it was called off before. */
  readonly transport?: 'udp' | 'tcp';
  /** With code `tsig`: what was found wrong, and the answer, which nobody vouches for. */
  readonly verification?: Verification;
  readonly answer?: Message;
  readonly cause?: unknown;
  /** The connection had carried answers before, and may have been closed before the server saw this request. */
  readonly reused?: boolean;
}

/** Why an exchange came to nothing. The message names the server, what was being done and what came back. */
export class TransportError extends Error {
  readonly code: TransportErrorCode;
  readonly details: TransportErrorDetails;

  constructor(code: TransportErrorCode, message: string, details: TransportErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'TransportError';
    this.code = code;
    this.details = details;
  }
}

/** The kind of an operating system's error. */
export function transportErrorCode(error: unknown): TransportErrorCode {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ECONNREFUSED':
      return 'refused';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'EHOSTDOWN':
    case 'ENETDOWN':
      return 'unreachable';
    case 'ECONNRESET':
    case 'EPIPE':
    case 'ECONNABORTED':
      return 'closed';
    case 'ETIMEDOUT':
      return 'timeout';
    default:
      return 'system';
  }
}
