/** The built-in server as a hidden primary: real secondaries pull its zone under TSIG and follow its NOTIFY. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { ask } from '../../src/dns/lookup/ask.ts';
import type { NotifyEvent, Secondary } from '../../src/dns/serve/notify.ts';
import { type AuthoritativeServer, createAuthoritativeServer } from '../../src/dns/serve/server.ts';
import { createZoneStore, type ZoneStore } from '../../src/dns/serve/zone-store.ts';
import { txtValues } from '../../src/dns/wire/message.ts';
import { startBind } from '../support/bind.ts';
import { untilServed } from '../support/dns-process.ts';
import { type DnsServer, type DnsServerOptions, tsigKey } from '../support/dns-server.ts';
import { startKnot } from '../support/knot.ts';
import { need } from '../support/need.ts';
import { startNsd } from '../support/nsd.ts';
import { freePort } from '../support/ports.ts';
import { waitFor } from '../support/processes.ts';

const apex = 'example.test';
const name = `s1._domainkey.${apex}`;
const first = `v=DKIM1; k=rsa; p=${'A'.repeat(392)}`;
const second = `v=DKIM1; k=rsa; p=${'B'.repeat(2000)}`;

interface Pair {
  readonly zones: ZoneStore;
  readonly primary: AuthoritativeServer;
  readonly secondary: DnsServer;
  readonly events: readonly NotifyEvent[];
}

/** Our server with one zone, and a secondary of it. */
async function pair(
  start: (options: DnsServerOptions) => Promise<DnsServer>,
  algorithm: 'hmac-sha256' | 'hmac-sha384' | 'hmac-sha512',
): Promise<Pair> {
  const key = tsigKey('transfer.example', algorithm);
  const tsig = { name: key.name, algorithm, secret: Buffer.from(key.secret, 'base64') };
  const port = await freePort();
  const target: Secondary = { address: '127.0.0.1', port, key: tsig };
  const zones = createZoneStore([
    {
      apex,
      nameServers: [`ns1.${apex}`],
      serial: 5,
      records: [[`ns1.${apex}`, [{ type: 'A', address: '127.0.0.1', ttl: 60 }]]],
    },
  ]);
  zones.set(name, { value: first, ttl: 60 });
  const events: NotifyEvent[] = [];
  const primary = await createAuthoritativeServer({
    zones,
    listen: [{ address: '127.0.0.1', port: 0 }],
    keys: [tsig],
    transfers: () => ({ secondaries: [target], networks: [] }),
    onNotify: (event) => events.push(event),
  });
  onTestFinished(() => primary.close());
  const secondary = await start({
    port,
    secondaries: [{ apex, primary: { port: primary.endpoints[0]?.port ?? 0, key } }],
  });
  onTestFinished(() => secondary.stop());
  await untilServed(secondary, apex);
  return { zones, primary, secondary, events };
}

async function served(server: DnsServer, at: string): Promise<string[] | string> {
  const asked = await ask(server, at, 'TXT', { timeoutMs: 2000 });
  if (asked.kind === 'failure') return asked.message;
  return asked.message.rcode === 'NOERROR' ? txtValues(asked.message.answers) : String(asked.message.rcode);
}

async function untilServes(server: DnsServer, at: string, expected: string[] | string): Promise<void> {
  await waitFor(async () => JSON.stringify(await served(server, at)) === JSON.stringify(expected), {
    what: `${JSON.stringify(expected).slice(0, 40)} at ${at}`,
    every: 50,
    within: 15_000,
  });
}

const programs = [
  ['Knot', startKnot, 'knotd', 'knot', 'hmac-sha256'],
  ['NSD', startNsd, 'nsd', 'nsd', 'hmac-sha512'],
  ['BIND', startBind, 'named', 'bind9', 'hmac-sha384'],
] as const;

for (const [title, start, program, debianPackage, algorithm] of programs) {
  describe.skipIf(!need(program, debianPackage))(`${title} as secondary (${algorithm})`, () => {
    test('pulls the zone, and serves each change seconds after it', async () => {
      const { zones, primary, secondary, events } = await pair(start, algorithm);
      await untilServes(secondary, name, [first]);

      zones.set(name, { value: second, ttl: 60 });
      await untilServes(secondary, name, [second]);
      zones.set(`s2._domainkey.${apex}`, { value: first, ttl: 60 });
      zones.set(`s3._domainkey.${apex}`, [{ type: 'CNAME', target: name, ttl: 60 }]);
      await untilServes(secondary, `s2._domainkey.${apex}`, [first]);
      await untilServes(secondary, `s3._domainkey.${apex}`, [second]);
      zones.set(name, { value: 'v=DKIM1; p=', ttl: 60 });
      await untilServes(secondary, name, ['v=DKIM1; p=']);
      zones.set(name, null);
      zones.set(`s3._domainkey.${apex}`, null);
      await untilServes(secondary, name, 'NXDOMAIN');
      expect(await served(secondary, `s2._domainkey.${apex}`)).toEqual([first]);

      expect(events.some(({ kind }) => kind === 'notified')).toBe(true);
      expect(primary.statistics().transfers).toBeGreaterThanOrEqual(3);
    });
  });
}

describe.skipIf(!need('knotd', 'knot'))('a secondary that was away', () => {
  test('catches up when it is back, told again by a start of the primary', async () => {
    const { zones, secondary } = await pair(startKnot, 'hmac-sha256');
    await untilServes(secondary, name, [first]);
    await secondary.kill();
    zones.set(name, { value: second, ttl: 60 });
    await secondary.restart();
    await untilServes(secondary, name, [second]);
  });
});
