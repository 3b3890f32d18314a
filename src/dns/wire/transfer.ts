/** Fetching a whole zone (AXFR, RFC 5936). */
import { createMessage, decodeMessage, type ResourceRecord } from './message.ts';
import { sameName } from './name.ts';
import { messagesOverTcp } from './tcp.ts';
import { type ExchangeOptions, prepare, TransportError } from './transport.ts';
import { createTsigStreamVerifier } from './tsig-stream.ts';

/**
 * All records of a zone, beginning with its SOA, which is not repeated at the end.
 * With `tsig` the whole stream must be signed. Throws {@link TransportError}: code `mismatch` when the server refuses.
 */
export async function transferZone(
  apex: string,
  options: Omit<ExchangeOptions, 'transport' | 'attempts'>,
): Promise<readonly ResourceRecord[]> {
  const request = createMessage({ questions: [{ name: apex, type: 'AXFR', class: 'IN' }] });
  const prepared = prepare(request, options);
  const { tsig } = options;
  const verifier =
    tsig === undefined || prepared.mac === null ? null : createTsigStreamVerifier(tsig.key, prepared.mac);
  const fail = (code: 'malformed' | 'mismatch' | 'tsig' | 'closed', why: string): TransportError =>
    new TransportError(code, `${prepared.what}: ${why}`, { sent: true });
  const id = decodeMessage(prepared.bytes).id;
  const records: ResourceRecord[] = [];

  for await (const bytes of messagesOverTcp(prepared, options, performance.now() + (options.timeoutMs ?? 5000))) {
    const status = verifier?.next(bytes, tsig?.now() ?? 0).status;
    const message = decodeAnswer(bytes, fail);
    if (message.id !== id || !message.flags.qr) throw fail('mismatch', 'a message of another exchange came');
    if (message.rcode !== 'NOERROR') throw fail('mismatch', `the server answers ${message.rcode}`);
    if (status !== undefined && status !== 'ok' && status !== 'unsigned') {
      throw fail('tsig', `a message of the transfer is not to be trusted: ${status}`);
    }
    for (const record of message.answers) {
      const isSoa = record.type === 'SOA' && sameName(record.name, apex);
      if (records.length === 0 && !isSoa) throw fail('malformed', 'the transfer does not begin with the SOA');
      if (records.length > 0 && isSoa) {
        if (verifier?.complete() === false) throw fail('tsig', 'the end of the transfer is not signed');
        return records;
      }
      records.push(record);
    }
  }
  throw fail('closed', 'the server closed the connection within the transfer');
}

function decodeAnswer(
  bytes: Uint8Array,
  fail: (code: 'malformed', why: string) => TransportError,
): ReturnType<typeof decodeMessage> {
  try {
    return decodeMessage(bytes);
  } catch (error) {
    throw fail('malformed', error instanceof Error ? error.message : String(error));
  }
}
