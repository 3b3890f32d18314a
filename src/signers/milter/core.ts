/** What the sessions of a milter are given. */
import type { MessageSigner } from '../../dkim/sign.ts';
import type { Clock } from '../../lifecycle/clock.ts';
import type { KeyringLookup } from '../keyring-book.ts';
import type { DecisionSettings, OnFailure } from './decide.ts';
import type { MilterLog } from './log.ts';
import type { MilterMetrics } from './metrics.ts';

/** What all sessions of a milter share. */
export interface MilterCore {
  readonly keyrings: KeyringLookup;
  readonly settings: DecisionSettings;
  readonly onFailure: OnFailure;
  readonly signer: MessageSigner;
  readonly clock: Clock;
  readonly metrics: MilterMetrics;
  readonly log: MilterLog;
  /** Octets of header fields kept of one message. */
  readonly maxHeaderBytes: number;
  /** Ask to answer the end of the headers, so that bodies of mail that is not signed are not sent. */
  readonly answerHeaders: boolean;
}

/** The socket, as a session sees it. */
export interface SessionPeer {
  write(data: Buffer): void;
  /** Ends the connection after what was written. */
  end(): void;
  /** Goes on reading after the session paused. */
  resume(): void;
  readonly name: string;
}
