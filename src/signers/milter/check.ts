/** Asks a running milter, ours or another, what it does with a domain's mail: a test message through its socket. */
import { parseTagList, withoutFolds } from '../../dkim/tag-list.ts';
import { type AddedHeader, connectMilter } from './client.ts';
import { testMessage } from './signer.ts';

export interface MilterCheckOptions {
  /** `inet:HOST:PORT` or `unix:PATH`. */
  readonly socket: string;
  /** Author of the test message, an address. */
  readonly from: string;
  /** Hand it in as this authenticated user. */
  readonly user?: string | undefined;
  /** Hand it in from this address; 127.0.0.1 by default. */
  readonly clientAddress?: string | undefined;
  /** Milliseconds. */
  readonly timeout?: number | undefined;
}

export interface SeenSignature {
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: string;
}

export type MilterCheck =
  | { readonly kind: 'signed'; readonly signatures: readonly SeenSignature[] }
  /** Let through without a DKIM-Signature. */
  | { readonly kind: 'unsigned' }
  /** Not let through: what the sending client would be told. */
  | {
      readonly kind: 'refused';
      readonly verdict: 'tempfailed' | 'rejected' | 'discarded';
      readonly reply: string | null;
    };

/** @throws Error where the milter cannot be reached, or does not speak the protocol. */
export async function checkMilter(options: MilterCheckOptions): Promise<MilterCheck> {
  const { socket, from, user, clientAddress = '127.0.0.1', timeout } = options;
  const domain = from.slice(from.lastIndexOf('@') + 1);
  using client = await connectMilter(socket, undefined, timeout);
  const { verdict, reply, added } = await client.deliver({
    ...testMessage(domain, from),
    clientAddress,
    ...(user === undefined ? {} : { user }),
  });
  client.quit();
  if (verdict !== 'accepted') return { kind: 'refused', verdict, reply };
  const signatures = added.filter(({ name }) => name.toLowerCase() === 'dkim-signature').map(readSignature);
  return signatures.length === 0 ? { kind: 'unsigned' } : { kind: 'signed', signatures };
}

function readSignature({ value }: AddedHeader): SeenSignature {
  const list = parseTagList(value);
  const tags = new Map(list.ok ? list.tags.map((tag) => [tag.name, withoutFolds(tag.value)]) : []);
  return { domain: tags.get('d') ?? '?', selector: tags.get('s') ?? '?', algorithm: tags.get('a') ?? '?' };
}
