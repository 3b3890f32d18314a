/** What a session holds of the message that is on its way. */
import type { BodyHasher } from '../../dkim/body-hash.ts';
import type { HeaderField } from '../../dkim/types.ts';
import type { SigningDecision } from './decide.ts';

export interface Message {
  user: string | null;
  sender: string;
  queueId: string | null;
  outbound: boolean;
  readonly headers: HeaderField[];
  /** Octets of the fields that are kept, and what keeping them costs. */
  headerBytes: number;
  /** There was more header than is kept. */
  overflow: boolean;
  hasher: BodyHasher | null;
  /** The decision to sign, and the version of the keyrings that it was made by. */
  signing: SigningDecision | null;
  keyringVersion: number;
  /** What is to be answered, once there is an occasion. */
  answer: Buffer | null;
}

export function newMessage(): Message {
  return {
    user: null,
    sender: '',
    queueId: null,
    outbound: false,
    headers: [],
    headerBytes: 0,
    overflow: false,
    hasher: null,
    signing: null,
    keyringVersion: -1,
    answer: null,
  };
}

/** Stands between two messages; never written to. */
export const noMessage: Message = newMessage();

/** Cost of keeping a field, beside its octets. */
const fieldCost = 128;
const colon = 0x3a;
const space = Buffer.from(' ');

/**
 * Keeps a field whose frame is `data`, name and value divided by the NUL at `nul`, up to `end`. The NUL becomes a colon, and
 * the frame is the field, without a copy; `hasSpace` says that the value begins with what followed the colon.
 */
export function keepField(
  message: Message,
  data: Buffer,
  nul: number,
  end: number,
  hasSpace: boolean,
  limit: number,
): void {
  const name = data.toString('latin1', 0, nul);
  const size = message.headerBytes + end + fieldCost;
  if (size > limit) message.overflow = true;
  if (message.overflow) {
    // It will not be signed. From alone is kept, to know whether that is a failure.
    const isFrom = name.length === 4 && name.toLowerCase() === 'from';
    if (!isFrom || size > 2 * limit) return;
  }
  message.headerBytes = size;
  data[nul] = colon;
  // The MTA that takes the space after the colon away will write it again.
  const raw = hasSpace
    ? data.subarray(0, end)
    : Buffer.concat([data.subarray(0, nul + 1), space, data.subarray(nul + 1, end)]);
  message.headers.push({ name, raw });
}
