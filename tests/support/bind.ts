/** BIND 9 of our own: a folder, a free port, zones that take RFC 2136 updates signed with TSIG. */
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { startDnsProgram, writeOwned } from './dns-process.ts';
import {
  type DnsServer,
  type DnsServerOptions,
  keysOf,
  type PrimaryZone,
  type TsigKey,
  zoneFile,
} from './dns-server.ts';
import { findProgram } from './need.ts';
import type { TempDir } from './temp.ts';

export interface BindOptions extends DnsServerOptions {
  /** Lines put into the `options` block as they are. */
  readonly extraOptions?: readonly string[];
}

/**
 * Starts `named`; ready when it serves every zone that it is primary for.
 * @throws Error with its log when it does not come up.
 */
export function startBind(options: BindOptions = {}): Promise<DnsServer> {
  return startDnsProgram({
    name: 'named',
    command: 'named',
    port: options.port,
    zones: (options.zones ?? []).map((zone) => zone.apex),
    configure: (dir, port) => {
      for (const zone of options.zones ?? []) writeOwned(dir.join(`${zone.apex}.zone`), zoneFile(zone));
      writeOwned(dir.join('named.conf'), configuration(options, dir, port));
      return { args: ['-g', '-n', '1', '-c', dir.join('named.conf')], command: unconfined(dir) };
    },
  });
}

/** Debian's AppArmor profile goes by path and keeps `named` out of temporary folders: there a copy is started instead. */
function unconfined(dir: TempDir): string {
  const switchFile = '/sys/module/apparmor/parameters/enabled';
  const named = findProgram('named') ?? 'named';
  if (!existsSync(switchFile) || !readFileSync(switchFile, 'utf8').startsWith('Y')) return named;
  const copy = dir.join('named');
  if (!existsSync(copy)) copyFileSync(named, copy);
  return copy;
}

function configuration(options: BindOptions, dir: TempDir, port: number): string {
  return [
    'options {',
    `  directory "${dir.path}";`,
    `  pid-file "${dir.join('named.pid')}";`,
    `  session-keyfile "${dir.join('session.key')}";`,
    `  managed-keys-directory "${dir.path}";`,
    `  listen-on port ${port} { 127.0.0.1; };`,
    '  listen-on-v6 { none; };',
    '  recursion no; dnssec-validation no; notify explicit; allow-transfer { none; };',
    // A test that waits for a NOTIFY or a journal must not wait for BIND's politeness.
    '  notify-delay 0; serial-query-rate 1000; startup-notify-rate 1000; min-refresh-time 1; min-retry-time 1;',
    ...(options.extraOptions ?? []).map((line) => `  ${line}`),
    '};',
    'controls { };',
    ...keysOf(options).map(keyBlock),
    ...(options.zones ?? []).map(primaryBlock),
    ...(options.secondaries ?? []).map(
      (zone) =>
        `zone "${zone.apex}" { type secondary; file "${zone.apex}.secondary"; allow-notify { 127.0.0.1; }; ` +
        `primaries { 127.0.0.1 port ${zone.primary.port}${keyClause(zone.primary.key)}; }; };`,
    ),
    '',
  ].join('\n');
}

function primaryBlock(zone: PrimaryZone): string {
  const grants = (zone.update ?? []).map(({ key, scope }) =>
    scope === 'domainkeys'
      ? `grant ${key.name} wildcard *._domainkey.${zone.apex}. TXT CNAME;`
      : `grant ${key.name} zonesub ANY;`,
  );
  const transfer = (zone.transfer ?? []).map((key) => `key ${key.name};`);
  const notified = (zone.notify ?? []).map((port) => `127.0.0.1 port ${port}${keyClause(zone.transfer?.[0])};`);
  return [
    `zone "${zone.apex}" {`,
    `  type primary; file "${zone.apex}.zone";`,
    ...(grants.length > 0 ? [`  update-policy { ${grants.join(' ')} };`] : []),
    ...(transfer.length > 0 ? [`  allow-transfer { ${transfer.join(' ')} };`] : []),
    ...(notified.length > 0 ? [`  also-notify { ${notified.join(' ')} };`] : []),
    '};',
  ].join('\n');
}

function keyBlock(key: TsigKey): string {
  return `key "${key.name}" { algorithm ${key.algorithm}; secret "${key.secret}"; };`;
}

function keyClause(key: TsigKey | undefined): string {
  return key === undefined ? '' : ` key ${key.name}`;
}
