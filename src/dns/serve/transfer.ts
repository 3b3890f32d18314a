/** Zone transfers as streams of messages: whole (AXFR, RFC 5936) and incremental (IXFR, RFC 1995). */
import { createMessage, encodeMessage, type Message, type ResourceRecord } from '../wire/message.ts';
import { signTsig, type TsigKey } from '../wire/tsig.ts';
import { changesSince } from './history.ts';
import { isNewer } from './serial.ts';
import { type Zone, zoneRecords } from './zone.ts';

/** Bytes of records per message: compression pointers reach no further than 16 KiB. */
const BATCH = 15_000;

/** The records of the answer to an AXFR question: the SOA, everything else, the SOA again. */
export function* axfrRecords(zone: Zone): Generator<ResourceRecord> {
  yield zone.soa;
  // There is an NS record at least: a second SOA right after the first would make an IXFR answer of it (RFC 1995 section 4).
  yield* zoneRecords(zone);
  yield zone.soa;
}

/**
 * The records of the answer to an IXFR question from a secondary that has `serial`: the SOA alone when it is up to
 * date, the changes where all are known, and the whole zone otherwise.
 */
export function* ixfrRecords(zone: Zone, serial: number): Generator<ResourceRecord> {
  if (!isNewer(zone.serial, serial)) {
    yield zone.soa;
    return;
  }
  const changes = changesSince(zone, serial);
  if (changes === null) {
    yield* axfrRecords(zone);
    return;
  }
  yield zone.soa;
  for (const change of changes) {
    yield change.from;
    yield* change.removed;
    yield change.to;
    yield* change.added;
  }
  yield zone.soa;
}

/** The serial that the secondary has, from the authority section of an IXFR question (RFC 1995 section 3). */
export function serialOf(query: Message): number | null {
  const data = query.authorities[0]?.data;
  return data?.kind === 'SOA' ? data.serial : null;
}

/** Signs each message of a stream with the MAC of the one before (RFC 8945 section 5.3.1). */
export interface StreamSigner {
  readonly key: TsigKey;
  readonly requestMac: Uint8Array;
  /** Epoch seconds. */
  now(): number;
}

/** The messages of a transfer, encoded one at a time as they are asked for. */
export function* transferMessages(
  query: Message,
  records: Iterable<ResourceRecord>,
  signer: StreamSigner | null,
): Generator<Uint8Array> {
  let mac = signer?.requestMac;
  let first = true;
  for (const batch of batches(records)) {
    const message = createMessage({
      id: query.id,
      flags: { qr: true, aa: true, rd: query.flags.rd },
      questions: first ? query.questions : [],
      answers: batch,
      ...(first && query.edns !== undefined ? { edns: { udpSize: 1232, version: 0, do: false, options: [] } } : {}),
    });
    const bytes = encodeMessage(message);
    if (signer === null || mac === undefined) {
      yield bytes;
    } else {
      const signed = signTsig(bytes, signer.key, { time: signer.now(), requestMac: mac, timersOnly: !first });
      mac = signed.mac;
      yield signed.bytes;
    }
    first = false;
  }
}

function* batches(records: Iterable<ResourceRecord>): Generator<ResourceRecord[]> {
  let batch: ResourceRecord[] = [];
  let size = 0;
  for (const record of records) {
    const needed = roughSize(record);
    if (batch.length > 0 && size + needed > BATCH) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(record);
    size += needed;
  }
  if (batch.length > 0) yield batch;
}

/** An upper bound for the types that our zones hold. */
function roughSize(record: ResourceRecord): number {
  const { data } = record;
  const content = data.kind === 'TXT' ? data.strings.reduce((sum, string) => sum + string.length + 1, 0) : 64;
  return record.name.length + 12 + content + ('target' in data ? data.target.length : 0);
}
