import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTraffic } from '../../src/control/rehearsal/traffic.ts';
import { createCachingResolver } from '../../src/dns/lookup/cache.ts';
import { startBind } from '../support/bind.ts';
import type { DnsServer } from '../support/dns-server.ts';
import { keyturn, keyturnJson, startKeyturn } from '../support/keyturn.ts';
import { need } from '../support/need.ts';
import { type RunningServer, waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { type FastConfig, writeFastConfig } from './fast-config.ts';

interface Shown {
  readonly keys: ReadonlyArray<{ readonly selector: string; readonly state: string }>;
  readonly conditions: ReadonlyArray<{ readonly reason: string }>;
  readonly aliases: { readonly dname: string; readonly cnames: ReadonlyArray<{ readonly line: string }> };
}

const target = 'dkim.hoster.test';
/** Customers whose zones a real BIND serves; Keyturn can write to none of them. */
const [byDname, byCname, forgetful] = ['dname.test', 'cname.test', 'forgetful.test'] as const;
/** Six slots for four keys and two successors: a second rotation uses those of the first again. */
const slots = [1, 2, 3, 4, 5, 6].map((n) => `kt${n}`);
const cnames = slots.map((slot) => `${slot}._domainkey IN CNAME ${slot}.${byCname}.${target}.`);

describe.skipIf(!need('named', 'bind9'))("keys behind customers' aliases", () => {
  const dir = tempDir('aliases');
  let bind: DnsServer;
  let config: FastConfig;
  let server: RunningServer;
  const show = (domain: string): Promise<Shown> => keyturnJson<Shown>(['domain', 'show', domain], { cwd: dir.path });
  const count = ({ keys }: Shown, state: string): number => keys.filter((key) => key.state === state).length;

  beforeAll(async () => {
    bind = await startBind({
      zones: [
        { apex: byDname, records: [`_domainkey IN DNAME ${byDname}.${target}.`] },
        { apex: byCname, records: cnames },
        { apex: forgetful },
      ],
    });
    const servers = [`127.0.0.1:${bind.port}`];
    config = await writeFastConfig(dir, target, {
      publishers: [{ name: 'keys', kind: 'builtin', target }],
      proof: { builtin: true, timeout: '2s', zones: [byDname, byCname, forgetful].map((apex) => ({ apex, servers })) },
    });
    config.rewrite({ rotateEvery: '1h', selectors: slots });
    server = await startKeyturn(['serve'], { cwd: dir.path, ready: (read) => read().includes('"ready"') });
  });
  afterAll(async () => {
    await server?.stop();
    await bind?.stop();
    dir.remove();
  });

  test.for([byDname, byCname])(
    '%s: set up and rotated, and every message verifies',
    { timeout: 120_000 },
    async (domain) => {
      await keyturnJson(['domain', 'add', domain], { cwd: dir.path });
      const ready = (shown: Shown): boolean => count(shown, 'active') === 2 && count(shown, 'standby') === 2;
      await waitFor(async () => ready(await show(domain)), {
        within: 40_000,
        every: 250,
        what: `${domain} to be signed; ${server.output().slice(-3000)}`,
      });
      const traffic = startTraffic({
        socket: config.socket,
        domain,
        receivers: [
          createCachingResolver({
            upstream: [
              { apex: domain, servers: [`127.0.0.1:${bind.port}`] },
              { apex: target, servers: [`127.0.0.1:${config.dnsPort}`] },
            ],
          }),
        ],
        every: 100,
        againAfter: config.overlap * 0.4,
        algorithms: ['rsa-sha256', 'ed25519-sha256'],
      });
      const rotate = () => keyturnJson(['key', 'rotate', domain], { cwd: dir.path });
      await rotate();
      await waitFor(async () => count(await show(domain), 'removed') === 2, {
        within: 60_000,
        every: 250,
        what: `the rotation of ${domain} to be finished; ${server.output().slice(-3000)}`,
      });
      if (domain === byCname) {
        await rotate();
        await waitFor(async () => count(await show(domain), 'removed') === 4, {
          within: 60_000,
          every: 250,
          what: `the second rotation of ${domain} to be finished; ${server.output().slice(-3000)}`,
        });
        const { keys } = await show(domain);
        expect(keys.length).toBeGreaterThan(slots.length);
        expect(keys.every(({ selector }) => slots.includes(selector))).toBe(true);
      }
      const counts = await traffic.stop();
      expect(traffic.failures).toEqual([]);
      expect(counts).toMatchObject({ unsigned: 0, unverifiable: 0, putOff: 0 });
      expect(counts.verified).toBe(2 * counts.messages);
      expect(traffic.selectors.size).toBeGreaterThanOrEqual(4);
    },
  );

  test('a customer who has set none is told which, and nothing signs meanwhile', { timeout: 60_000 }, async () => {
    const added = await keyturnJson<{ aliases: Shown['aliases'] }>(['domain', 'add', forgetful], { cwd: dir.path });
    const dname = `_domainkey.${forgetful}. IN DNAME ${forgetful}.${target}.`;
    expect(added.aliases.dname).toBe(dname);
    expect(added.aliases.cnames).toHaveLength(slots.length);
    const missing = ({ conditions }: Shown): boolean => conditions.some(({ reason }) => reason === 'record-missing');
    await waitFor(async () => missing(await show(forgetful)), { within: 30_000, every: 250, what: 'the condition' });
    const shown = await show(forgetful);
    expect(count(shown, 'active')).toBe(0);
    const line = `kt1._domainkey.${forgetful}. IN CNAME kt1.${forgetful}.${target}.`;
    expect(shown.aliases.cnames.map((cname) => cname.line)).toContain(line);
    for (const args of [
      ['domain', 'show', forgetful],
      ['key', 'show', forgetful, 'kt1'],
    ]) {
      const { stdout } = await keyturn(args, { cwd: dir.path });
      expect(stdout).toContain(dname);
      expect(stdout).toContain(line);
    }
  });
});
