/** Knot DNS of our own: primary with RFC 2136 updates by ACL, or secondary by AXFR and NOTIFY. */
import { mkdirSync } from 'node:fs';
import { startDnsProgram, writeOwned } from './dns-process.ts';
import { type DnsServer, type DnsServerOptions, keysOf, type PrimaryZone, zoneFile } from './dns-server.ts';
import type { TempDir } from './temp.ts';

/**
 * Starts `knotd`; ready when it serves every zone that it is primary for.
 * @throws Error with its log when it does not come up.
 */
export function startKnot(options: DnsServerOptions = {}): Promise<DnsServer> {
  return startDnsProgram({
    name: 'knotd',
    command: 'knotd',
    port: options.port,
    zones: (options.zones ?? []).map((zone) => zone.apex),
    configure: (dir, port) => {
      mkdirSync(dir.join('db'), { recursive: true });
      for (const zone of options.zones ?? []) writeOwned(dir.join(`${zone.apex}.zone`), zoneFile(zone));
      writeOwned(dir.join('knot.conf'), configuration(options, dir, port));
      return { args: ['-c', dir.join('knot.conf')] };
    },
  });
}

function configuration(options: DnsServerOptions, dir: TempDir, port: number): string {
  const primaries = options.zones ?? [];
  const secondaries = options.secondaries ?? [];
  return [
    'server:',
    `  rundir: ${dir.path}`,
    `  listen: 127.0.0.1@${port}`,
    '  udp-workers: 1',
    '  tcp-workers: 1',
    '  background-workers: 1',
    // Half a second by default, after which a reader on a busy machine is cut off.
    '  tcp-io-timeout: 10000',
    '  tcp-remote-io-timeout: 10000',
    'log:',
    '  - target: stderr',
    '    any: info',
    'database:',
    `  storage: ${dir.join('db')}`,
    // The defaults map hundreds of megabytes of address space.
    '  journal-db-max-size: 32M',
    '  timer-db-max-size: 8M',
    '  kasp-db-max-size: 8M',
    'key:',
    ...keysOf(options).flatMap((key) => [
      `  - id: ${key.name}`,
      `    algorithm: ${key.algorithm}`,
      `    secret: ${key.secret}`,
    ]),
    'remote:',
    ...primaries.flatMap((zone) =>
      (zone.notify ?? []).flatMap((notified) => [
        `  - id: notify-${zone.apex}-${notified}`,
        `    address: 127.0.0.1@${notified}`,
        ...(zone.transfer?.[0] === undefined ? [] : [`    key: ${zone.transfer[0].name}`]),
      ]),
    ),
    ...secondaries.flatMap((zone) => [
      `  - id: primary-${zone.apex}`,
      `    address: 127.0.0.1@${zone.primary.port}`,
      ...(zone.primary.key === undefined ? [] : [`    key: ${zone.primary.key.name}`]),
    ]),
    'acl:',
    ...primaries.flatMap(primaryAcls),
    ...secondaries.flatMap((zone) => [
      `  - id: notified-${zone.apex}`,
      '    address: 127.0.0.1',
      ...(zone.primary.key === undefined ? [] : [`    key: ${zone.primary.key.name}`]),
      '    action: notify',
    ]),
    'template:',
    '  - id: default',
    `    storage: ${dir.path}`,
    '    zonefile-sync: 0',
    '    semantic-checks: off',
    'zone:',
    ...primaries.flatMap((zone) => [
      `  - domain: ${zone.apex}`,
      `    file: ${zone.apex}.zone`,
      ...list('acl', aclNames(zone)),
      ...list(
        'notify',
        (zone.notify ?? []).map((notified) => `notify-${zone.apex}-${notified}`),
      ),
    ]),
    ...secondaries.flatMap((zone) => [
      `  - domain: ${zone.apex}`,
      `    file: ${zone.apex}.secondary`,
      `    master: primary-${zone.apex}`,
      `    acl: notified-${zone.apex}`,
      '    refresh-min-interval: 2',
      '    retry-min-interval: 1',
    ]),
    '',
  ].join('\n');
}

function primaryAcls(zone: PrimaryZone): string[] {
  const updates = (zone.update ?? []).flatMap(({ key, scope }) => [
    `  - id: update-${zone.apex}-${key.name}`,
    `    key: ${key.name}`,
    '    action: update',
    ...(scope === 'domainkeys'
      ? [
          '    update-type: [ TXT, CNAME ]',
          '    update-owner: name',
          '    update-owner-match: sub',
          `    update-owner-name: [ _domainkey.${zone.apex}. ]`,
        ]
      : []),
  ]);
  const transfers = (zone.transfer ?? []).flatMap((key) => [
    `  - id: transfer-${zone.apex}-${key.name}`,
    `    key: ${key.name}`,
    '    action: transfer',
  ]);
  return [...updates, ...transfers];
}

function aclNames(zone: PrimaryZone): string[] {
  return [
    ...(zone.update ?? []).map(({ key }) => `update-${zone.apex}-${key.name}`),
    ...(zone.transfer ?? []).map((key) => `transfer-${zone.apex}-${key.name}`),
  ];
}

function list(setting: string, names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`    ${setting}: [ ${names.join(', ')} ]`];
}
