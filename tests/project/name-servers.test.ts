import { describe, expect, test } from 'vitest';
import { startBind } from '../support/bind.ts';
import { untilServed } from '../support/dns-process.ts';
import { servesZone, tsigKey } from '../support/dns-server.ts';
import { startKnot } from '../support/knot.ts';
import { need } from '../support/need.ts';
import { startNsd } from '../support/nsd.ts';
import { freePort } from '../support/ports.ts';
import { run, runOk, waitFor } from '../support/processes.ts';

const tools = need('dig', 'bind9-dnsutils') && need('nsupdate', 'bind9-dnsutils');
const bind = need('named', 'bind9');
const knot = need('knotd', 'knot');
const nsd = need('nsd', 'nsd');

const txt = (port: number, name: string): Promise<string> =>
  runOk('dig', ['+short', '+norecurse', '-p', String(port), '@127.0.0.1', name, 'TXT']).then((text) => text.trim());

const update = (port: number, key: ReturnType<typeof tsigKey>, lines: readonly string[]) =>
  run('nsupdate', ['-y', `${key.algorithm}:${key.name}:${key.secret}`], {
    input: [`server 127.0.0.1 ${port}`, 'zone example.test', ...lines, 'send', ''].join('\n'),
  });

describe.skipIf(!tools || !bind || !knot)('the name servers that tests run', () => {
  const programs = [
    ['BIND', startBind],
    ['Knot', startKnot],
  ] as const;

  for (const [name, start] of programs) {
    for (const algorithm of ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const) {
      test(`${name} takes an update signed with ${algorithm}, below _domainkey only`, async () => {
        const key = tsigKey('updater', algorithm);
        const zone = { apex: 'example.test', update: [{ key, scope: 'domainkeys' as const }] };
        await using server = await start({ zones: [zone] });
        const allowed = await update(server.port, key, ['update add s1._domainkey.example.test. 60 TXT "v=DKIM1; p="']);
        expect(allowed.stderr).toBe('');
        expect(await txt(server.port, 's1._domainkey.example.test')).toBe('"v=DKIM1; p="');
        const refused = await update(server.port, key, ['update add www.example.test. 60 TXT "no"']);
        // BIND says REFUSED; Knot answers every mismatch of its ACL with NOTAUTH.
        expect(refused.stderr).toMatch(/REFUSED|NOTAUTH/);
        const forged = await update(server.port, tsigKey('updater', algorithm), [
          'update add s2._domainkey.example.test. 60 TXT "no"',
        ]);
        expect(forged.code).not.toBe(0);
        expect(await txt(server.port, 's2._domainkey.example.test')).toBe('');
      });
    }

    test(`${name} keeps its zone over a kill, and can be frozen`, async () => {
      const key = tsigKey('updater');
      await using server = await start({ zones: [{ apex: 'example.test', update: [{ key, scope: 'zone' }] }] });
      await update(server.port, key, ['update add s1._domainkey.example.test. 60 TXT "kept"']);
      await server.kill();
      expect(await servesZone(server.port, 'example.test')).toBe(false);
      await server.restart();
      expect(await txt(server.port, 's1._domainkey.example.test')).toBe('"kept"');
      await server.freeze();
      expect(await servesZone(server.port, 'example.test')).toBe(false);
      server.thaw();
      await untilServed(server, 'example.test');
    });
  }

  const secondaries = [
    ['BIND', bind, startBind],
    ['Knot', knot, startKnot],
    ['NSD', nsd, startNsd],
  ] as const;

  for (const [name, present, startSecondary] of secondaries) {
    test.skipIf(!present)(`${name} follows a primary by AXFR and NOTIFY under TSIG`, async () => {
      const key = tsigKey('mover', 'hmac-sha256');
      const updater = tsigKey('updater');
      const port = await freePort();
      await using primary = await startBind({
        zones: [{ apex: 'example.test', update: [{ key: updater, scope: 'zone' }], transfer: [key], notify: [port] }],
      });
      await using secondary = await startSecondary({
        port,
        secondaries: [{ apex: 'example.test', primary: { port: primary.port, key } }],
      });
      await untilServed(secondary, 'example.test');
      await update(primary.port, updater, ['update add s1._domainkey.example.test. 60 TXT "moved"']);
      await waitFor(async () => (await txt(port, 's1._domainkey.example.test')) === '"moved"', {
        what: `${name} to serve the new record`,
      });
      expect((await run('dig', ['-p', String(port), '@127.0.0.1', 'example.test', 'AXFR'])).stdout).toContain('failed');
    });
  }
});
