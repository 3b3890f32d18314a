/** The numbers of the DNS and their mnemonics (IANA "Domain Name System (DNS) Parameters"). */
import { WireError } from './error.ts';

const types = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  NULL: 10,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  RP: 17,
  AAAA: 28,
  LOC: 29,
  SRV: 33,
  NAPTR: 35,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  SSHFP: 44,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  NSEC3: 50,
  NSEC3PARAM: 51,
  TLSA: 52,
  CDS: 59,
  CDNSKEY: 60,
  OPENPGPKEY: 61,
  CSYNC: 62,
  ZONEMD: 63,
  SVCB: 64,
  HTTPS: 65,
  SPF: 99,
  TKEY: 249,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
  URI: 256,
  CAA: 257,
} as const;

const classes = { IN: 1, CH: 3, HS: 4, NONE: 254, ANY: 255 } as const;
const opcodes = { QUERY: 0, IQUERY: 1, STATUS: 2, NOTIFY: 4, UPDATE: 5 } as const;

/** Response codes of the header, extended by EDNS (RFC 6895 §2.3); 16 is BADVERS here, BADSIG only inside a TSIG. */
const rcodes = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  YXDOMAIN: 6,
  YXRRSET: 7,
  NXRRSET: 8,
  NOTAUTH: 9,
  NOTZONE: 10,
  BADVERS: 16,
  BADCOOKIE: 23,
} as const;

export type RecordClass = keyof typeof classes | number;
export type Opcode = keyof typeof opcodes | number;
export type Rcode = keyof typeof rcodes | number;

function invert<K extends string>(table: Readonly<Record<K, number>>): ReadonlyMap<number, K> {
  const names = new Map<number, K>();
  for (const name of Object.keys(table) as K[]) names.set(table[name], name);
  return names;
}

const typeCodes: ReadonlyMap<string, number> = new Map(Object.entries(types));
const typeNames = invert(types);
const classNames = invert(classes);
const opcodeNames = invert(opcodes);
const rcodeNames = invert(rcodes);

/** The mnemonic of a type, or `TYPE123` for one without (RFC 3597 §5). */
export function typeName(code: number): string {
  return typeNames.get(code) ?? `TYPE${code}`;
}

/** The number of a type; throws {@link WireError} for what is neither a known mnemonic nor `TYPE0`…`TYPE65535`. */
export function typeCode(name: string): number {
  const known = typeCodes.get(name);
  if (known !== undefined) return known;
  const code = /^TYPE\d{1,5}$/.test(name) ? Number(name.slice(4)) : Number.NaN;
  if (!(code <= 0xffff)) throw new WireError('out-of-range', `"${name}" is not a DNS record type`);
  return code;
}

export function className(code: number): RecordClass {
  return classNames.get(code) ?? code;
}

export function classCode(name: RecordClass): number {
  return checked(typeof name === 'number' ? name : classes[name], 0xffff, 'class');
}

export function opcodeName(code: number): Opcode {
  return opcodeNames.get(code) ?? code;
}

export function opcodeCode(name: Opcode): number {
  return checked(typeof name === 'number' ? name : opcodes[name], 15, 'opcode');
}

export function rcodeName(code: number): Rcode {
  return rcodeNames.get(code) ?? code;
}

/** The number of a response code, 0…4095: the upper eight bits travel in EDNS. */
export function rcodeCode(name: Rcode): number {
  return checked(typeof name === 'number' ? name : rcodes[name], 0xfff, 'rcode');
}

function checked(code: number, max: number, what: string): number {
  if (!(Number.isInteger(code) && code >= 0 && code <= max)) {
    throw new WireError('out-of-range', `${code} is not a DNS ${what}: it must be 0 to ${max}`);
  }
  return code;
}
