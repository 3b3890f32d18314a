/** NSD of our own, as a secondary (it takes no updates) or as a plain primary. */
import { startDnsProgram, writeOwned } from './dns-process.ts';
import { type DnsServer, type DnsServerOptions, keysOf, zoneFile } from './dns-server.ts';
import type { TempDir } from './temp.ts';

/**
 * Starts `nsd`; ready when it serves every zone that it is primary for. `update` of a zone is not possible here.
 * @throws Error with its log when it does not come up.
 */
export function startNsd(options: DnsServerOptions = {}): Promise<DnsServer> {
  if ((options.zones ?? []).some((zone) => (zone.update ?? []).length > 0)) {
    throw new Error('Starting NSD: it takes no dynamic updates; use BIND or Knot');
  }
  return startDnsProgram({
    name: 'nsd',
    command: 'nsd',
    port: options.port,
    zones: (options.zones ?? []).map((zone) => zone.apex),
    logFile: 'nsd.log',
    configure: (dir, port) => {
      for (const zone of options.zones ?? []) writeOwned(dir.join(`${zone.apex}.zone`), zoneFile(zone));
      writeOwned(dir.join('nsd.conf'), configuration(options, dir, port));
      return { args: ['-d', '-c', dir.join('nsd.conf')] };
    },
  });
}

function configuration(options: DnsServerOptions, dir: TempDir, port: number): string {
  return [
    'server:',
    `  ip-address: 127.0.0.1@${port}`,
    '  do-ip6: no',
    '  server-count: 1',
    // Empty: it stays who it is, as the folder is private to the tests' user.
    '  username: ""',
    '  chroot: ""',
    `  zonesdir: "${dir.path}"`,
    '  database: ""',
    `  logfile: "${dir.join('nsd.log')}"`,
    `  pidfile: "${dir.join('nsd.pid')}"`,
    `  xfrdfile: "${dir.join('xfrd.state')}"`,
    `  xfrdir: "${dir.path}"`,
    `  zonelistfile: "${dir.join('zone.list')}"`,
    '  xfrd-reload-timeout: 0',
    '  rrl-ratelimit: 0',
    '  verbosity: 2',
    'remote-control:',
    '  control-enable: no',
    ...keysOf(options).flatMap((key) => [
      'key:',
      `  name: "${key.name}"`,
      `  algorithm: ${key.algorithm}`,
      `  secret: "${key.secret}"`,
    ]),
    ...(options.zones ?? []).flatMap((zone) => [
      'zone:',
      `  name: "${zone.apex}"`,
      `  zonefile: "${zone.apex}.zone"`,
      ...(zone.transfer ?? []).map((key) => `  provide-xfr: 127.0.0.1 ${key.name}`),
      ...(zone.notify ?? []).map(
        (notified) => `  notify: 127.0.0.1@${notified} ${zone.transfer?.[0]?.name ?? 'NOKEY'}`,
      ),
    ]),
    ...(options.secondaries ?? []).flatMap((zone) => {
      const key = zone.primary.key?.name ?? 'NOKEY';
      return [
        'zone:',
        `  name: "${zone.apex}"`,
        `  zonefile: "${zone.apex}.secondary"`,
        `  allow-notify: 127.0.0.1 ${key}`,
        `  request-xfr: AXFR 127.0.0.1@${zone.primary.port} ${key}`,
        '  min-refresh-time: 1',
        '  max-refresh-time: 2',
        '  min-retry-time: 1',
        '  max-retry-time: 1',
      ];
    }),
    '',
  ].join('\n');
}
