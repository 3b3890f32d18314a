/** What the real name servers of the tests have in common: keys, zones, and how a test sees a running one. */

import { randomBytes, randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';

export interface TsigKey {
  readonly name: string;
  readonly algorithm: 'hmac-sha256' | 'hmac-sha384' | 'hmac-sha512';
  /** Base64. */
  readonly secret: string;
}

/** A key with a random secret of the length that its algorithm recommends (RFC 8945 section 8). */
export function tsigKey(name: string, algorithm: TsigKey['algorithm'] = 'hmac-sha256'): TsigKey {
  const bytes = { 'hmac-sha256': 32, 'hmac-sha384': 48, 'hmac-sha512': 64 }[algorithm];
  return { name, algorithm, secret: randomBytes(bytes).toString('base64') };
}

/** What a key may change: TXT and CNAME below `_domainkey` only, or everything in the zone. */
export interface UpdateRight {
  readonly key: TsigKey;
  readonly scope: 'domainkeys' | 'zone';
}

/** A zone that the server is primary for. */
export interface PrimaryZone {
  readonly apex: string;
  /** Lines of the zone file besides SOA, NS and the name server's address. */
  readonly records?: readonly string[];
  /** SOA MINIMUM in seconds, the negative-cache TTL (RFC 2308); default 1. */
  readonly negativeTtl?: number;
  readonly serial?: number;
  readonly update?: readonly UpdateRight[];
  /** Who may transfer the zone: these keys; nobody without. */
  readonly transfer?: readonly TsigKey[];
  /** Ports on 127.0.0.1 of secondaries that get a NOTIFY, signed with the first transfer key if there is one. */
  readonly notify?: readonly number[];
}

/** A zone that the server pulls from a primary. */
export interface SecondaryZone {
  readonly apex: string;
  readonly primary: { readonly port: number; readonly key?: TsigKey };
}

export interface DnsServerOptions {
  readonly zones?: readonly PrimaryZone[];
  readonly secondaries?: readonly SecondaryZone[];
  /** A free one where left out. */
  readonly port?: number;
}

export interface DnsServer extends AsyncDisposable {
  readonly address: '127.0.0.1';
  readonly port: number;
  /** The server's own log. */
  output(): string;
  /** Freezes it with SIGSTOP: it accepts packets and says nothing. */
  freeze(): Promise<void>;
  thaw(): void;
  /** Ends it at once with SIGKILL; the port refuses from then on. */
  kill(): Promise<void>;
  /** Starts it again on its port with the data that it has on disk. */
  restart(): Promise<void>;
  /** Ends it and removes its folder. */
  stop(): Promise<void>;
}

/** The zone file that a primary starts from. */
export function zoneFile(zone: PrimaryZone): string {
  return [
    `$ORIGIN ${zone.apex}.`,
    '$TTL 60',
    `@ IN SOA ns1.${zone.apex}. hostmaster.${zone.apex}. ${zone.serial ?? 1} 3600 60 86400 ${zone.negativeTtl ?? 1}`,
    '@ IN NS ns1',
    'ns1 IN A 127.0.0.1',
    ...(zone.records ?? []),
    '',
  ].join('\n');
}

/** Every key once, by name. */
export function keysOf(options: DnsServerOptions): readonly TsigKey[] {
  const keys = [
    ...(options.zones ?? []).flatMap((zone) => [
      ...(zone.update ?? []).map((right) => right.key),
      ...(zone.transfer ?? []),
    ]),
    ...(options.secondaries ?? []).flatMap((zone) => (zone.primary.key === undefined ? [] : [zone.primary.key])),
  ];
  return [...new Map(keys.map((key) => [key.name, key])).values()];
}

/**
 * Asks for a zone's SOA over UDP and says whether the answer is authoritative.
 * Written out by hand on purpose: what starts the servers must not depend on what is tested against them.
 */
export function servesZone(port: number, apex: string): Promise<boolean> {
  const id = randomInt(65_536);
  const labels = apex.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const header = Buffer.from([id >> 8, id & 255, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const query = Buffer.concat([header, ...labels, Buffer.from([0, 0, 6, 0, 1])]);
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const answer = (yes: boolean): void => {
      clearTimeout(timer);
      socket.close();
      resolve(yes);
    };
    const timer = setTimeout(() => answer(false), 500);
    socket.once('error', () => answer(false));
    socket.on('message', (bytes) => {
      if (bytes.length < 12 || bytes.readUInt16BE(0) !== id) return;
      const flags = bytes.readUInt16BE(2);
      answer((flags & 0x8400) === 0x8400 && (flags & 15) === 0 && bytes.readUInt16BE(6) > 0);
    });
    socket.connect(port, '127.0.0.1', () => socket.send(query));
  });
}
