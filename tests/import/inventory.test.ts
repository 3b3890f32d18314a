/** The inventory of selectors, against a real name server: what is there, whose it is, and what a wildcard only pretends. */
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { Inventory } from '../../src/control/inventory.ts';
import { watchExternal } from '../../src/control/watch-external.ts';
import { createProver } from '../../src/dns/lookup/prove.ts';
import { serviceOf } from '../../src/dns/lookup/selector-table.ts';
import { discoverSelectors } from '../../src/dns/lookup/selectors.ts';
import type { Snapshot } from '../../src/lifecycle/types.ts';
import type { Signer } from '../../src/signers/signer.ts';
import { createSignerScene, domainName, quickPolicy } from '../signers/scene.ts';
import { startBind } from '../support/bind.ts';
import type { DnsServer } from '../support/dns-server.ts';
import { need } from '../support/need.ts';
import { tempDir } from '../support/temp.ts';
import { jsonIn, keyturnIn } from './cli.ts';

function publicKey(bits: number): string {
  const { publicKey: key } = generateKeyPairSync('rsa', { modulusLength: bits });
  return key.export({ type: 'spki', format: 'der' }).toString('base64');
}

function txt(name: string, text: string): string {
  return `${name} IN TXT ${(text.match(/.{1,250}/g) ?? []).map((each) => `"${each}"`).join(' ')}`;
}

test('whose a selector is: the target of a CNAME says it, the name is a guess', () => {
  expect(serviceOf('s1', ['s1.domainkey.u123.wl001.sendgrid.net.'])).toBe('SendGrid');
  expect(serviceOf('whatever', ['abc.dkim.amazonses.com'])).toBe('Amazon SES');
  expect(serviceOf('x', ['evilsendgrid.net'])).toBeNull();
  expect(serviceOf('google', [])).toBe('Google Workspace?');
  expect(serviceOf('kt20260101rsa1', [])).toBeNull();
});

test('a key that its owner replaces is a condition of the domain until note is taken, and its history stays', async () => {
  const idle: Signer = {
    id: 'idle',
    kind: 'fake',
    deliver: async ({ generation }) => ({ kind: 'acknowledged', generation }),
    forget: async () => undefined,
    selfTest: async () => ({ kind: 'signed' }),
  };
  await using scene = await createSignerScene(() => idle, {
    ...quickPolicy,
    keys: [{ algorithm: 'ed25519', bits: 256, count: 1 }],
  });
  await scene.add();
  const [first, second] = [publicKey(2048), publicKey(2048)];
  const watch = (key: string) =>
    watchExternal(scene.operator, domainName, {
      selector: 'google',
      stream: 'google',
      publicKey: key,
      algorithm: 'rsa',
      bits: 2048,
    });
  const latest = (snapshot: Snapshot) => snapshot.keys.findLast(({ selector }) => selector === 'google');
  const reasons = ({ conditions }: Snapshot) => conditions.map(({ reason }) => reason);
  const record = (key: string) => scene.records.set(`google._domainkey.${domainName}`, `v=DKIM1; k=rsa; p=${key}`);
  record(first);
  await watch(first);
  await scene.until((snapshot) => latest(snapshot)?.proof?.verdict === 'seen');
  record(second);
  const changed = await scene.until((snapshot) => reasons(snapshot).includes('record-mismatched'));
  expect(latest(changed)).toMatchObject({ publicKey: first, ownership: 'external' });
  expect(await watch(second)).toMatchObject({ kind: 'done', what: 'replaced' });
  const noted = await scene.until(
    (snapshot) => latest(snapshot)?.proof?.verdict === 'seen' && !reasons(snapshot).includes('record-mismatched'),
  );
  const history = noted.keys.filter(({ selector }) => selector === 'google');
  expect(history.map((key) => [key.publicKey, key.state])).toEqual([
    [first, 'removed'],
    [second, expect.not.stringMatching('removed')],
  ]);
  // It is only looked at.
  expect(scene.records.get(`google._domainkey.${domainName}`)).toContain(second);
});

describe.skipIf(!need('named', 'bind9'))('in DNS', () => {
  let bind: DnsServer;
  const [strong, weak, next] = [publicKey(2048), publicKey(1024), publicKey(2048)];
  const records = (google: string) => [
    txt('google._domainkey', `v=DKIM1; k=rsa; p=${google}`),
    txt('k1._domainkey', `k=rsa; t=s; p=${weak}`),
    txt('mail._domainkey', 'v=DKIM1; p='),
    txt('default._domainkey', `v=DKIM1; t=y; p=${strong}`),
    's1._domainkey IN CNAME s1.domainkey.u1.wl1.sendgrid.net.',
  ];
  const zones = (google: string) => [
    { apex: 'example.com', records: records(google) },
    { apex: 'sendgrid.net', records: [txt('s1.domainkey.u1.wl1', `k=rsa; t=s; p=${strong}`)] },
    { apex: 'empty.example' },
    { apex: 'wild.example', records: [txt('*._domainkey', 'v=spf1 -all'), txt('google._domainkey', `p=${strong}`)] },
    { apex: 'pretend.example', records: [txt('*._domainkey', `v=DKIM1; p=${weak}`)] },
    { apex: 'alias.example', records: ['*._domainkey IN CNAME parking.alias.example.', txt('parking', `p=${weak}`)] },
  ];
  const explicit = () => zones('').map(({ apex }) => ({ apex, servers: [`127.0.0.1:${bind.port}`] }));

  beforeAll(async () => {
    bind = await startBind({ zones: zones(strong) });
  });
  afterAll(() => bind.stop());

  test('what is there is found, with a question a selector', async () => {
    const found = await discoverSelectors(createProver({ zones: explicit() }), 'Example.com', { also: ['own'] });
    expect(found.trouble).toBeNull();
    expect(found.wildcard).toBe(false);
    const seen = found.found.map(({ selector, status, service, bits }) => [selector, status, service, bits]);
    expect(seen.sort()).toEqual(
      [
        ['google', 'usable', 'Google Workspace?', 2048],
        ['k1', 'weak', 'Mailchimp or Mailgun?', 1024],
        ['s1', 'usable', 'SendGrid', 2048],
        ['mail', 'revoked', 'Brevo?', null],
        ['default', 'weak', null, 2048],
      ].sort(),
    );
  });

  test('a wildcard makes nothing found that is not there', async () => {
    const prover = createProver({ zones: explicit() });
    for (const [domain, selectors] of [
      ['wild.example', ['google']],
      ['pretend.example', []],
      ['alias.example', []],
    ] as const) {
      const found = await discoverSelectors(prover, domain);
      expect([domain, found.wildcard, found.found.map(({ selector }) => selector)]).toEqual([domain, true, selectors]);
    }
    expect((await discoverSelectors(prover, 'empty.example')).found).toEqual([]);
  });

  test('a server that is silent is said to be', async () => {
    const prover = createProver({ zones: [{ apex: 'gone.example', servers: ['127.0.0.1:9'] }] });
    const found = await discoverSelectors(prover, 'gone.example', { timeoutMs: 300 });
    expect(found).toMatchObject({ found: [], trouble: expect.stringContaining('_domainkey.gone.example') });
  });

  test('what was found is kept with the domain, and a key that its owner replaced is noted, with its history', async () => {
    using dir = tempDir('inventory');
    const configure = (port: number) =>
      writeFileSync(
        dir.join('keyturn.yaml'),
        stringify({
          data: 'data',
          proof: { zones: zones('').map(({ apex }) => ({ apex, servers: [`127.0.0.1:${port}`] })), timeout: '2s' },
        }),
      );
    configure(bind.port);
    const look = async (...args: string[]) => {
      const { inventories } = await jsonIn<{ inventories: Inventory[] }>(dir, ['inventory', ...args]);
      return Object.fromEntries((inventories[0]?.items ?? []).map((item) => [item.selector, item]));
    };
    expect((await look('example.com')).google).toMatchObject({ owner: 'unknown', firstSeen: null, kept: null });
    expect((await keyturnIn(dir, ['inventory', 'example.com', '--save'])).code).toBe(2);
    await jsonIn(dir, ['domain', 'add', 'example.com']);
    const kept = await look('example.com', '--save');
    expect(kept.google).toMatchObject({ owner: 'external', kept: 'watched', weak: false });
    expect(kept.k1).toMatchObject({ kept: 'watched', weak: true });
    expect(kept.s1).toMatchObject({ kept: 'watched', service: 'SendGrid', target: 's1.domainkey.u1.wl1.sendgrid.net' });
    expect(kept.mail).toMatchObject({ revoked: true, kept: null });
    expect(kept.default).toMatchObject({ testing: true });
    expect((await look('--all', '--save')).google?.kept).toBe('known');

    const after = await startBind({ zones: zones(next) });
    try {
      configure(after.port);
      expect((await look('example.com')).google).toMatchObject({ replaced: true, kept: null });
      const noted = await look('example.com', '--save');
      expect(noted.google).toMatchObject({ replaced: false, kept: 'replaced', publicKey: next });
      const again = await look('example.com');
      expect(again.google?.firstSeen).toBe(kept.google?.firstSeen);
      expect(again.google?.lastChange ?? 0).toBeGreaterThan(kept.google?.lastChange ?? 0);
      const { keys } = await jsonIn<{ keys: Array<{ selector: string; stream: string; state: string }> }>(dir, [
        'key',
        'list',
        'example.com',
      ]);
      expect(keys.filter(({ selector }) => selector === 'google')).toHaveLength(2);
      expect(keys.find(({ selector }) => selector === 's1')?.stream).toBe('sendgrid');
      const people = await keyturnIn(dir, ['inventory', 'example.com']);
      expect(people.stdout).toContain('SendGrid');
      expect(people.stdout).toContain('withdrawn');
    } finally {
      await after.stop();
    }
  });
});
