/** A small DNS world on loopback addresses: a resolver that knows a table of records, and servers that behave as they are told. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import {
  createMessage,
  decodeMessage,
  encodeMessage,
  type Message,
  type ResourceRecord,
  txtData,
} from '../../src/dns/wire/message.ts';
import { nameKey } from '../../src/dns/wire/name.ts';
import { frameMessage, StreamReader } from '../../src/dns/wire/stream.ts';

/** Containers may have no IPv6, not even a loopback address: there the tests have IPv4 in both parts. */
export const hasIPv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ address }) => address === '::1'),
);

/** The answer to a question; bytes go as they are; null: silence. */
export type Behaviour = (query: Message, transport: 'udp' | 'tcp') => Message | Uint8Array | null;

export interface FakeServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** `address:port`. */
  readonly at: string;
  /** Everything that was asked. */
  readonly queries: readonly Message[];
  behave(behaviour: Behaviour): void;
}

export async function startFake(behaviour: Behaviour, address = '127.0.0.1', port = 0): Promise<FakeServer> {
  let current = behaviour;
  const queries: Message[] = [];
  const answer = (bytes: Uint8Array, transport: 'udp' | 'tcp'): Uint8Array | null => {
    const query = decodeMessage(bytes);
    queries.push(query);
    const reply = current(query, transport);
    if (reply === null || reply instanceof Uint8Array) return reply;
    return encodeMessage(reply, { maxSize: transport === 'udp' ? (query.edns?.udpSize ?? 512) : 65_535 });
  };
  const tcp = createServer((socket) => {
    const reader = new StreamReader();
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      for (const request of reader.push(chunk)) {
        const reply = answer(request, 'tcp');
        if (reply !== null) socket.write(frameMessage(reply));
      }
    });
    socket.unref();
  });
  tcp.listen(port, address);
  await once(tcp, 'listening');
  const bound = tcp.address();
  const taken = typeof bound === 'object' && bound !== null ? bound.port : port;
  const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  udp.bind(taken, address);
  await once(udp, 'listening');
  udp.on('message', (bytes, from) => {
    const reply = answer(bytes, 'udp');
    if (reply !== null) udp.send(reply, from.port, from.address);
  });
  return {
    address,
    port: taken,
    at: address.includes(':') ? `[${address}]:${taken}` : `${address}:${taken}`,
    queries,
    behave: (next) => {
      current = next;
    },
    [Symbol.asyncDispose]: async () => {
      tcp.close();
      udp.close();
      await once(udp, 'close');
    },
  };
}

export function reply(query: Message, parts: Parameters<typeof createMessage>[0]): Message {
  return createMessage({
    id: query.id,
    opcode: query.opcode,
    questions: query.questions,
    ...(query.edns === undefined ? {} : { edns: { udpSize: 1232, version: 0, do: false, options: [] } }),
    ...parts,
    flags: { qr: true, rd: query.flags.rd, ...parts.flags },
  });
}

export const record = (name: string, data: ResourceRecord['data'], ttl = 60): ResourceRecord => ({
  name,
  type: data.kind,
  class: 'IN',
  ttl,
  data,
});
export const txt = (name: string, value: string, ttl = 60): ResourceRecord => record(name, txtData(value), ttl);
export const cname = (name: string, target: string): ResourceRecord => record(name, { kind: 'CNAME', target });
export const ns = (name: string, target: string): ResourceRecord => record(name, { kind: 'NS', target });
export const a = (name: string, address: string): ResourceRecord => record(name, { kind: 'A', address });
export const aaaa = (name: string, address: string): ResourceRecord => record(name, { kind: 'AAAA', address });
export const soa = (apex: string, minimum = 20, ttl = 60): ResourceRecord =>
  record(
    apex,
    {
      kind: 'SOA',
      mname: 'ns1.example',
      rname: 'hostmaster.example',
      serial: 1,
      refresh: 1,
      retry: 1,
      expire: 1,
      minimum,
    },
    ttl,
  );

/** Answers from a table: as a zone's server with an `apex`, as a recursive resolver without. CNAMEs are followed in the table. */
export function table(records: readonly ResourceRecord[], options: { readonly apex?: string } = {}): Behaviour {
  const { apex } = options;
  return (query) => {
    const question = query.questions[0];
    if (question === undefined) return reply(query, { rcode: 'FORMERR' });
    const flags = apex === undefined ? { ra: true } : { aa: true };
    const answers: ResourceRecord[] = [];
    for (let name = nameKey(question.name), hops = 0; hops < 20; hops += 1) {
      const here = records.filter((each) => nameKey(each.name) === name);
      const wanted = here.filter(({ type }) => type === question.type);
      const alias = here.find(({ type }) => type === 'CNAME');
      answers.push(...(wanted.length > 0 ? wanted : alias === undefined ? [] : [alias]));
      if (wanted.length > 0) return reply(query, { flags, answers });
      if (alias?.data.kind === 'CNAME') {
        name = nameKey(alias.data.target);
        if (apex === undefined || name.endsWith(apex)) continue;
        return reply(query, { flags, answers });
      }
      const exists = records.some((each) => nameKey(each.name) === name || nameKey(each.name).endsWith(`.${name}`));
      const own = apex === undefined ? soa('.') : (records.find(({ type }) => type === 'SOA') ?? soa(apex));
      return reply(query, { flags, answers, rcode: exists ? 'NOERROR' : 'NXDOMAIN', authorities: [own] });
    }
    return reply(query, { flags, answers });
  };
}
