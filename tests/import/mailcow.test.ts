/** `keyturn import mailcow`: a real Redis as mailcow has it, a real name server, and a real rspamd that goes on signing. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { loadConfig } from '../../src/control/config/load.ts';
import { copyKey } from '../../src/control/copy-key.ts';
import type { ImportReport } from '../../src/control/import-mailcow/report.ts';
import { silentLog } from '../../src/control/log.ts';
import { mark, type Operator } from '../../src/control/operations.ts';
import { startServer } from '../../src/control/server.ts';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { createRspamdProbe } from '../../src/signers/rspamd-test.ts';
import { startBind } from '../support/bind.ts';
import { type DnsServer, tsigKey } from '../support/dns-server.ts';
import { startMailcow } from '../support/mailcow-server.ts';
import { need } from '../support/need.ts';
import { waitFor } from '../support/processes.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { needRspamd, startRspamd } from '../support/rspamd.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { jsonIn, keyturnIn } from './cli.ts';
import { hashesOf, mailcowRecord, makePair, type Pair, putActive } from './installation.ts';

const ready = need('redis-server', 'redis-server') && need('named', 'bind9');

describe.skipIf(!ready)('an installation', () => {
  let redis: RedisServer;
  let bind: DnsServer;
  const key = tsigKey('keyturn.');
  const pairs = new Map<string, Pair>();
  const pair = (name: string): Pair => {
    const found = pairs.get(name);
    if (found === undefined) throw new Error(`no pair ${name}`);
    return found;
  };

  beforeAll(async () => {
    for (const name of ['main', 'old', 'lost', 'backup', 'bare', 'other', 'upper', 'odd'])
      pairs.set(name, await makePair());
    redis = await startRedis({ password: 'redis-secret' });
    const at = (selector: string, domain: string) => `${selector}._domainkey.${domain}`;
    bind = await startBind({
      zones: [
        {
          apex: 'example.com',
          update: [{ key, scope: 'zone' }],
          records: [
            mailcowRecord(at('s1', 'example.com'), pair('main').publicKey),
            mailcowRecord(at('s0', 'example.com'), pair('old').publicKey),
            mailcowRecord(at('b1', 'example.com'), pair('backup').publicKey),
            mailcowRecord(at('s1', 'shop.example.com'), pair('main').publicKey),
          ],
        },
      ],
    });
    const { client } = redis;
    await putActive(client, { domain: 'example.com', selector: 's1', pair: pair('main') });
    // Two keys that nothing points at: the record of one still stands.
    await client.hset('DKIM_PRIV_KEYS', 's0.example.com', pair('old').pem);
    await client.hset('DKIM_PRIV_KEYS', 'sx.example.com', pair('lost').pem);
    // Helper domains: one with a key of its own, one with a copy of the main domain's, and one whose name tells nothing.
    await putActive(client, { domain: 'dkim-backup1.example.com', selector: 'b1', pair: pair('backup') });
    await putActive(client, { domain: 'dkim-copy.example.com', selector: 's1', pair: pair('main') });
    await putActive(client, { domain: 'spare.example.com', selector: 's1', pair: pair('main') });
    // The same key, and mail of its own.
    await putActive(client, { domain: 'shop.example.com', selector: 's1', pair: pair('main') });
    await putActive(client, { domain: 'bare.example.com', selector: 'dkim', pair: pair('bare') });
    // What belongs to nothing.
    await client.hset('DKIM_PRIV_KEYS', 'dkim.gone.example', pair('other').pem);
    await client.hset('DKIM_PUB_KEYS', 'half.example.com', pair('other').publicKey);
    await client.hset('DKIM_SELECTORS', 'unsigned.example.com', 'dkim');
    await putActive(client, { domain: 'Upper.example.com', selector: 'dkim', pair: pair('upper') });
    await client.hset('DKIM_PRIV_KEYS', 'junk.example.com', 'not a key');
    // The public key that mailcow shows is not that of the private one.
    await putActive(client, { domain: 'odd.example.com', selector: 'dkim', pair: pair('odd') });
    await client.hset('DKIM_PUB_KEYS', 'odd.example.com', pair('other').publicKey);
  });
  afterAll(async () => {
    await redis[Symbol.asyncDispose]();
    await bind.stop();
  });

  function configure(dir: TempDir, more: Record<string, unknown> = {}): void {
    const configuration = {
      data: 'data',
      roles: { milter: false, dns: false },
      policies: { default: quick },
      proof: { zones: [{ apex: 'example.com', servers: [`127.0.0.1:${bind.port}`] }], timeout: '2s' },
      publishers: [
        {
          kind: 'rfc2136',
          name: 'bind',
          zones: ['example.com'],
          servers: [`127.0.0.1:${bind.port}`],
          key: { name: key.name, secret: key.secret },
        },
      ],
      reconcile: { interval: '200ms' },
      ...more,
    };
    writeFileSync(dir.join('keyturn.yaml'), stringify(configuration), { mode: 0o600 });
    writeFileSync(dir.join('redis-password'), 'redis-secret\n');
  }
  const from = (dir: TempDir) => [
    '--redis',
    `redis://127.0.0.1:${redis.port}`,
    '--redis-password-file',
    dir.join('redis-password'),
  ];

  test('is reported first, taken over whole, and a repetition finds nothing to do', async () => {
    using dir = tempDir('import');
    configure(dir);
    const before = await hashesOf(redis.client);

    const dry = await keyturnIn(dir, ['import', 'mailcow', ...from(dir), '--dry-run', '--json']);
    const plan = JSON.parse(dry.stdout) as ImportReport;
    expect(plan.dryRun).toBe(true);
    expect(plan.counts).toMatchObject({ mail: 4, shadow: 3, blind: 2, added: 7, failed: 0, skipped: 0 });
    expect(await jsonIn<{ domains: unknown[] }>(dir, ['domain', 'list'])).toMatchObject({ domains: [] });

    const real = await keyturnIn(dir, ['import', 'mailcow', ...from(dir), '--json']);
    expect(real.stderr).toBe('');
    expect(real.code).toBe(0);
    const report = JSON.parse(real.stdout) as ImportReport;
    const of = (name: string) => report.domains.find((domain) => domain.name === name);
    expect(of('example.com')).toMatchObject({ kind: 'mail', action: 'added' });
    expect(
      of('example.com')?.keys.map(({ selector, role, record, takenOver }) => [selector, role, record, takenOver]),
    ).toEqual([
      ['s1', 'active', 'seen', true],
      ['s0', 'blind', 'seen', true],
      ['sx', 'blind', 'missing', false],
    ]);
    expect(of('dkim-backup1.example.com')).toMatchObject({ kind: 'shadow', shadowOf: 'example.com' });
    expect(of('dkim-copy.example.com')).toMatchObject({ kind: 'shadow', shadowOf: 'example.com' });
    expect(of('spare.example.com')).toMatchObject({ kind: 'shadow', shadowOf: 'example.com' });
    expect(of('shop.example.com')).toMatchObject({ kind: 'mail', shadowOf: null });
    expect(of('bare.example.com')?.notes.join()).toContain('receivers cannot verify');
    expect(of('odd.example.com')?.notes.join()).toContain('not that of dkim');
    expect(report.orphans.map(({ kind, what }) => `${kind} ${what}`).sort()).toEqual(
      [
        'key-without-domain dkim.gone.example',
        'public-key-alone half.example.com',
        'selector-without-key unsigned.example.com',
        'unreadable-key junk.example.com',
        'unusable-name Upper.example.com',
      ].sort(),
    );

    const shown = await jsonIn<{ keys: Array<{ selector: string; kept?: boolean }> }>(dir, [
      'domain',
      'show',
      'example.com',
    ]);
    expect(shown.keys.map(({ selector, kept }) => [selector, kept === true])).toEqual(
      expect.arrayContaining([['s0', true]]),
    );
    const backup = await jsonIn<{ domain: { shadowOf: string }; keys: Array<{ selector: string }> }>(dir, [
      'domain',
      'show',
      'dkim-backup1.example.com',
    ]);
    expect(backup.domain.shadowOf).toBe('example.com');
    expect(backup.keys.map(({ selector }) => selector)).toEqual(['b1']);

    const again = await jsonIn<ImportReport>(dir, ['import', 'mailcow', ...from(dir)]);
    expect(again.counts).toMatchObject({ there: 7, added: 0, completed: 0, failed: 0 });
    expect(await hashesOf(redis.client)).toEqual(before);
    const people = await keyturnIn(dir, ['import', 'mailcow', ...from(dir), '--dry-run']);
    expect(people.stdout).toContain('shadow of example.com');
    // What was written anywhere holds no private key in the clear.
    const written = [dry.stdout, real.stdout, people.stdout, ...filesOf(dir.join('data'))].join('\n');
    for (const { pem } of pairs.values()) expect(written.includes(pem.split('\n')[3] ?? '')).toBe(false);
  });

  test('is read by the API as well: with private keys shown as it is, without them only for a signer that keeps them', async () => {
    await using mailcow = await startMailcow({
      redis: redis.client,
      apiKey: 'read-write',
      readOnlyKey: 'read-only',
      domains: ['example.com', 'shop.example.com'],
    });
    const run = async (more: Record<string, unknown>) => {
      using dir = tempDir('import');
      configure(dir, more);
      writeFileSync(dir.join('api-key'), 'read-only');
      const args = ['import', 'mailcow', '--api', mailcow.url, '--api-key-file', dir.join('api-key'), '--json'];
      return JSON.parse((await keyturnIn(dir, args)).stdout) as ImportReport;
    };
    const hidden = await run({});
    expect(hidden.counts).toMatchObject({ added: 0, skipped: 2 });
    expect(hidden.domains[0]?.notes.join()).toContain('mailcow-api');
    const keeper = { kind: 'mailcow-api', name: 'mailcow', url: mailcow.url, apiKey: 'read-write' };
    const kept = await run({ signers: [keeper] });
    expect(kept.counts).toMatchObject({ added: 2, skipped: 0 });
    expect(kept.domains[0]?.keys[0]).toMatchObject({ selector: 's1', privateHalf: false, takenOver: true });
    mailcow.showPrivateKeys = true;
    expect((await run({})).counts).toMatchObject({ added: 2 });
  });

  test('what cannot be reached or read says where, and never the password', async () => {
    using dir = tempDir('import');
    configure(dir);
    writeFileSync(dir.join('redis-password'), 'a-wrong-one');
    const wrong = await keyturnIn(dir, ['import', 'mailcow', ...from(dir)]);
    expect(wrong.code).toBe(3);
    expect(wrong.stderr).toContain(`127.0.0.1:${redis.port}`);
    expect(wrong.stderr).not.toContain('a-wrong-one');
    const neither = await keyturnIn(dir, ['import', 'mailcow']);
    expect(neither.code).toBe(2);
  });

  test.skipIf(!needRspamd())(
    'goes on signing as before, octet by octet, until the first rotation, which works',
    async () => {
      using dir = tempDir('import');
      await using rspamd = await startRspamd({
        // As mailcow has it.
        signing: `
        use_domain = "header"; use_esld = false; allow_envfrom_empty = true; allow_hdrfrom_mismatch = true;
        sign_authenticated = true; sign_local = true; use_redis = true;
        selector_prefix = "DKIM_SELECTORS"; key_prefix = "DKIM_PRIV_KEYS";`,
        more: `redis { servers = "127.0.0.1:${redis.port}"; password = "redis-secret"; }`,
      });
      configure(dir, {
        signers: [
          {
            kind: 'mailcow-redis',
            name: 'mailcow',
            redis: { servers: [`127.0.0.1:${redis.port}`], password: 'redis-secret' },
            test: { url: rspamd.url },
            signs: { domains: ['example.com', 'shop.example.com'] },
          },
        ],
      });
      const probe = createRspamdProbe({ url: rspamd.url, timeout: 5000 }, { clock: systemClock, readSecret: () => '' });
      const signedBy = async (domain: string) => (await probe.signatures(domain)).map(({ selector }) => selector);
      expect(await signedBy('example.com')).toEqual(['s1']);
      const before = await hashesOf(redis.client);

      const loaded = loadConfig(dir.join('keyturn.yaml'), { env: {}, workingFolder: dir.path });
      await jsonIn(dir, ['import', 'mailcow', ...from(dir), 'example.com', 'shop.example.com']);
      await using server = await startServer({ loaded, env: {}, clock: systemClock, log: silentLog });
      const operator: Operator = { store: server.store, clock: systemClock, actor: { name: 'olga', source: 'cli' } };
      const snapshot = async (domain: string) => {
        const stored = await server.store.snapshot(domain);
        if (stored === null) throw new Error(`${domain} is gone`);
        return stored.snapshot;
      };
      for (const domain of ['example.com', 'shop.example.com']) {
        await waitFor(
          async () => {
            const { keys, signers, conditions } = await snapshot(domain);
            const its = keys.find(({ selector }) => selector === 's1');
            const isReady =
              its?.state === 'active' &&
              its.signaturesSeen.mailcow !== undefined &&
              (signers[0]?.acknowledgedGeneration ?? 0) > 0;
            if (!isReady) throw new Error(JSON.stringify([its, signers, conditions]));
            return true;
          },
          { within: 20_000, what: `${domain} to be in care` },
        );
        expect((await snapshot(domain)).signers[0]?.drift).toBeUndefined();
        expect(await signedBy(domain)).toEqual(['s1']);
      }
      // Successors are made and published meanwhile; mailcow does not hear of them.
      await waitFor(
        async () => (await snapshot('example.com')).keys.some((each) => each.state === 'standby' && each.kept !== true),
        {
          within: 20_000,
          what: 'a successor',
        },
      );
      expect(await hashesOf(redis.client)).toEqual(before);

      await mark(operator, 'example.com', { kind: 'rotation-requested', stream: 'default' });
      await waitFor(
        async () =>
          (await snapshot('example.com')).keys.find(({ selector }) => selector === 's1')?.state === 'retiring',
        {
          within: 20_000,
          what: 'the rotation',
        },
      );
      const [selector] = await signedBy('example.com');
      expect(selector).not.toBe('s1');
      expect(await signedBy('shop.example.com')).toEqual(['s1']);
      // The helper domain's key was published where it was found, and takes over when it is asked to.
      const shadow = 'dkim-backup1.example.com';
      const ready = async () =>
        (await snapshot(shadow)).keys.find((each) => each.selector === 'b1' && each.state === 'standby');
      await waitFor(async () => (await ready()) !== undefined, { within: 20_000, what: "the helper domain's key" });
      const target = { domain: 'example.com', stream: 'default', use: true };
      expect((await copyKey(operator, shadow, (await ready())?.id ?? '', target)).kind).toBe('done');
      await waitFor(
        async () => {
          if ((await signedBy('example.com'))[0] === 'b1') return true;
          throw new Error(JSON.stringify(await snapshot('example.com')));
        },
        { within: 30_000, what: 'the switch to it' },
      );
      // The blind key is kept where it was.
      expect((await hashesOf(redis.client)).DKIM_PRIV_KEYS?.['s0.example.com']).toBe(pair('old').pem);
    },
  );
});

const quick = {
  keys: ['rsa-2048'],
  rotateEvery: '100d',
  jitter: 0,
  lead: '1s',
  standby: 1,
  overlap: '30s',
  tombstone: '1s',
  ttl: '1s',
  ttlAhead: '1s',
  proofFresh: '5s',
  watchEvery: '2s',
};

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(`${entry.parentPath}/${entry.name}`, 'latin1'));
}
