/** What was wrong with a message, or with what was to be put into one. */
export type WireErrorCode =
  /** The message ends before the field does. */
  | 'truncated'
  /** A name, label or compression pointer that RFC 1035 does not allow. */
  | 'bad-name'
  /** Record data that does not fit its type or its length. */
  | 'bad-rdata'
  /** A section or pseudo-record that breaks the message's rules: a second OPT, a TSIG that is not last, bytes left over. */
  | 'bad-message'
  /** A value that the wire has no room for. */
  | 'out-of-range'
  /** More than 65,535 bytes, or more than the limit that was given. */
  | 'too-large';

/** The only error that the codec throws, for whatever bytes it is given. */
export class WireError extends Error {
  readonly code: WireErrorCode;

  constructor(code: WireErrorCode, message: string) {
    super(message);
    this.name = 'WireError';
    this.code = code;
  }
}
