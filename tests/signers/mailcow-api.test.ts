/** The signer `mailcow-api` against mailcow's API as it is, on a real Redis: whole lives of keys, troubles, and what others do there. */
import type { KeyObject } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/control/config/load.ts';
import { importMailcow } from '../../src/control/import-mailcow/run.ts';
import { readMailcowApi } from '../../src/control/import-mailcow/source.ts';
import { toSignerKeyring } from '../../src/control/keyring.ts';
import { mark } from '../../src/control/operations.ts';
import { generateKeyPair, publicKeyData } from '../../src/dkim/key-pair.ts';
import { parseKeyRecord } from '../../src/dkim/key-record.ts';
import type { Snapshot } from '../../src/lifecycle/types.ts';
import type { Keyring } from '../../src/signers/keyring.ts';
import { createMailcowClient } from '../../src/signers/mailcow-api/client.ts';
import { mailcowApiKind } from '../../src/signers/mailcow-api/kind.ts';
import { createRspamdProbe } from '../../src/signers/rspamd-test.ts';
import type { Signer } from '../../src/signers/signer.ts';
import { type MailcowServer, startMailcow } from '../support/mailcow-server.ts';
import { need } from '../support/need.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { needRspamd, startRspamd } from '../support/rspamd.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { mailcowSigning } from './mailcow-rspamd.ts';
import { active, createSignerScene, dependencies, domainName, type SignerScene, settled } from './scene.ts';

const apiKey = 'AAAAAA-BBBBBB-CCCCCC-DDDDDD-EEEEEE';
const signer = 'signer';

function publicKeyOf(record: string | undefined): KeyObject | null {
  const parsed = record === undefined ? null : parseKeyRecord(record);
  return parsed?.kind === 'key' ? parsed.publicKey : null;
}

describe.skipIf(!need('redis-server', 'redis-server'))('mailcow-api', () => {
  let redis: RedisServer;
  let mailcow: MailcowServer;
  let dir: TempDir;
  const lines: string[] = [];

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis[Symbol.asyncDispose]());
  beforeEach(async () => {
    await redis.flush();
    lines.length = 0;
    dir = tempDir('mailcow');
    mailcow = await startMailcow({
      redis: redis.client,
      apiKey,
      readOnlyKey: 'read-only',
      domains: [domainName],
    });
  });
  afterEach(async () => {
    await mailcow[Symbol.asyncDispose]();
    dir.remove();
  });

  const make = (clock: { now(): number }, settings: Record<string, unknown> = {}): Promise<Signer> => {
    const read = mailcowApiKind.settings.parse({
      url: mailcow.url,
      apiKey,
      createShadows: true,
      timeout: '2s',
      ...settings,
    });
    return mailcowApiKind.create(read, dependencies(dir.path, clock, lines, signer));
  };
  const clock = { now: () => Date.UTC(2026, 10, 24) };
  const signing = async (domain = domainName) => ({
    selector: await redis.client.hget('DKIM_SELECTORS', domain),
    publicKey: await redis.client.hget('DKIM_PUB_KEYS', domain),
  });

  /** What receivers need at every moment: mailcow signs with both halves in place and the record stands. */
  async function expectSignedAndFindable(scene: SignerScene, snapshot: Snapshot): Promise<void> {
    if (snapshot.domain.firstActiveAt === null || !snapshot.keys.some((k) => Object.keys(k.signaturesSeen).length > 0))
      return;
    const { selector, publicKey } = await signing();
    const pem = await redis.client.hget('DKIM_PRIV_KEYS', `${selector}.${domainName}`);
    const { createPrivateKey } = await import('node:crypto');
    expect(publicKeyData(createPrivateKey(pem ?? ''))).toBe(publicKey);
    expect(scene.records.get(`${selector}._domainkey.${domainName}`)).toContain(`p=${publicKey}`);
  }

  test.each([false, true])(
    'a whole rotation: the keys are born in mailcow, and its mail can be verified at every moment (private keys shown: %s)',
    async (shown) => {
      mailcow.showPrivateKeys = shown;
      await using scene = await createSignerScene((now) => make(now));
      await scene.add();
      const before = await scene.until(settled, (snapshot) => expectSignedAndFindable(scene, snapshot));
      const [old] = active(before);
      expect((await signing()).selector).toBe(old?.selector);
      // The private half is ours only where mailcow shows it.
      expect((await scene.store.loadPrivateKey(old?.id ?? '')) !== null).toBe(shown);
      await mark(scene.operator, domainName, { kind: 'rotation-requested', stream: 'default' });
      const after = await scene.until(
        (snapshot) => settled(snapshot) && active(snapshot)[0]?.id !== old?.id,
        (snapshot) => expectSignedAndFindable(scene, snapshot),
      );
      expect((await signing()).publicKey).toBe(active(after)[0]?.publicKey);
      const end = await scene.until(
        (snapshot) => snapshot.keys.find(({ id }) => id === old?.id)?.state === 'removed',
        (snapshot) => expectSignedAndFindable(scene, snapshot),
      );
      expect(end.conditions.filter(({ severity }) => severity !== 'info')).toEqual([]);
      // Never deleted, and never imported: only made, and copied.
      expect(mailcow.calls.filter((call) => /delete|dkim_import/.test(call))).toEqual([]);
      // Helper domains stand apart from people's address book.
      const shadows = [...mailcow.domains].filter(([name]) => name !== domainName);
      expect(shadows.length).toBeGreaterThan(0);
      expect(shadows.every(([name, { gal }]) => name.endsWith(`.${domainName}`) && !gal)).toBe(true);
      expectNoSecrets();
    },
  );

  test('a rollback brings back the key that was copied over, from the helper domain that kept it', async () => {
    await using scene = await createSignerScene((now) => make(now));
    await scene.add();
    const [old] = active(await scene.until(settled));
    await mark(scene.operator, domainName, { kind: 'rotation-requested', stream: 'default' });
    await scene.until((snapshot) => settled(snapshot) && active(snapshot)[0]?.id !== old?.id);
    await mark(scene.operator, domainName, { kind: 'rolled-back', stream: 'default' });
    await scene.until((snapshot) => active(snapshot).length === 1 && active(snapshot)[0]?.id === old?.id);
    await scene.until(() => true);
    expect((await signing()).publicKey).toBe(old?.publicKey);
  });

  test('leftovers on helper domains are cleared once their keys are revoked, and only those that we put there', async () => {
    let made: Signer | undefined;
    await using scene = await createSignerScene(async (now) => {
      made = await make(now);
      return made;
    });
    await scene.add();
    const [old] = active(await scene.until(settled));
    mailcow.domains.set(`dkim-5.${domainName}`, { gal: false });
    const client = createMailcowClient({ url: mailcow.url, apiKey, timeout: 2000 });
    await client.makeKey(`dkim-5.${domainName}`, 'admins-own', 2048);
    client.close();
    await mark(scene.operator, domainName, { kind: 'rotation-requested', stream: 'default' });
    const snapshot = await scene.until(
      (now) => now.keys.find(({ id }) => id === old?.id)?.state === 'revoked' && settled(now),
    );
    const stored = await scene.store.keyring(domainName);
    if (stored === null || made?.inspect === undefined) throw new Error('nothing to inspect');
    const held = async () => Object.values(await redis.client.hgetall('DKIM_SELECTORS'));
    expect(await held()).toContain(old?.selector);
    expect(await made.inspect(toSignerKeyring(stored, snapshot, signer))).toEqual({ kind: 'as-delivered' });
    expect(await held()).not.toContain(old?.selector);
    expect(await held()).toContain('admins-own');
    expect(mailcow.calls.filter((call) => call.includes(`["${domainName}"]`))).toEqual([]);
  });

  test.each([false, true])(
    'a domain that was imported by the API goes on as it is until it rotates (private keys shown: %s)',
    async (shown) => {
      mailcow.showPrivateKeys = shown;
      const client = createMailcowClient({ url: mailcow.url, apiKey, timeout: 2000 });
      await client.makeKey(domainName, 'dkim', 2048);
      const before = await redis.client.hgetall('DKIM_PRIV_KEYS');
      await using scene = await createSignerScene((now) => make(now));
      const { publicKey } = await signing();
      scene.records.set(`dkim._domainkey.${domainName}`, `v=DKIM1; k=rsa; p=${publicKey}`);
      const settings = `{ kind: mailcow-api, name: ${signer}, url: '${mailcow.url}', apiKey: k }`;
      const report = await importMailcow(await readMailcowApi(client, []), {
        operator: scene.operator,
        config: parseConfig(`roles: { milter: false }\nsigners: [${settings}]`, 'keyturn.yaml'),
        policy: 'default',
        shadowPatterns: ['dkim-*'],
        mailDomains: [],
        only: [],
        prover: null,
      });
      client.close();
      expect(report.counts).toMatchObject({ added: 1, failed: 0, skipped: 0 });
      mailcow.calls.length = 0;
      const taken = await scene.until(settled, (snapshot) => expectSignedAndFindable(scene, snapshot));
      expect(active(taken).map(({ selector }) => selector)).toEqual(['dkim']);
      // Its successor is made on a helper domain; nothing is written over.
      expect(mailcow.calls.filter((call) => /duplicate|delete|import/.test(call))).toEqual([]);
      expect(await redis.client.hgetall('DKIM_PRIV_KEYS')).toMatchObject(before);
      await mark(scene.operator, domainName, { kind: 'rotation-requested', stream: 'default' });
      await scene.until(
        (snapshot) => settled(snapshot) && active(snapshot)[0]?.selector !== 'dkim',
        (snapshot) => expectSignedAndFindable(scene, snapshot),
      );
      // The way back is kept.
      await mark(scene.operator, domainName, { kind: 'rolled-back', stream: 'default' });
      await scene.until((snapshot) => active(snapshot).length === 1 && active(snapshot)[0]?.selector === 'dkim');
      await scene.until(() => true);
      expect((await signing()).selector).toBe('dkim');
    },
  );

  test.skipIf(!needRspamd())('a real rspamd signs every message through a rotation and back', async () => {
    await using rspamd = await startRspamd({ signing: mailcowSigning(redis.port, '') });
    const probe = createRspamdProbe({ url: rspamd.url, timeout: 5000 }, { clock, readSecret: () => '' });
    await using scene = await createSignerScene((now) => make(now, { test: { url: rspamd.url } }));
    await scene.add();
    const [old] = active(await scene.until(settled));
    let [messages, isOver] = [0, false];
    const unsigned: string[] = [];
    const signedBy = new Set<string>();
    const mail = (async () => {
      while (!isOver) {
        const signatures = await probe.signatures(domainName);
        messages += 1;
        const [one] = signatures;
        if (signatures.length !== 1 || one === undefined)
          unsigned.push(`message ${messages}: ${signatures.length} signatures`);
        else {
          signedBy.add(one.selector);
          const publicKey = publicKeyOf(scene.records.get(`${one.selector}._domainkey.${domainName}`));
          if (publicKey === null || !one.isBy(publicKey))
            unsigned.push(`message ${messages}: ${one.selector} does not verify`);
        }
      }
    })();
    await mark(scene.operator, domainName, { kind: 'rotation-requested', stream: 'default' });
    await scene.until((snapshot) => settled(snapshot) && active(snapshot)[0]?.id !== old?.id);
    await mark(scene.operator, domainName, { kind: 'rolled-back', stream: 'default' });
    await scene.until((snapshot) => active(snapshot).length === 1 && active(snapshot)[0]?.id === old?.id);
    isOver = true;
    await mail;
    // mailcow's own window between two commands on Redis is far shorter than a message takes; it is described in the signer's page.
    expect(unsigned).toEqual([]);
    expect(signedBy.size).toBe(2);
    expect(messages).toBeGreaterThan(10);
  });

  test('importKeys hands keys over by way of a helper domain, never over the mail domain itself', async () => {
    await using scene = await createSignerScene((now) => make(now, { importKeys: true }));
    await scene.add();
    const [key] = active(await scene.until(settled, (snapshot) => expectSignedAndFindable(scene, snapshot)));
    expect(await scene.store.loadPrivateKey(key?.id ?? '')).not.toBeNull();
    const imports = mailcow.calls.filter((call) => call.includes('dkim_import'));
    expect(imports.length).toBeGreaterThan(0);
    expect(imports.every((call) => call.includes(`"domain":"dkim-`))).toBe(true);
  });

  describe('what stands in mailcow', () => {
    let keyring: Keyring;
    beforeAll(async () => {
      const { privateKey } = await generateKeyPair({ algorithm: 'rsa', bits: 2048 });
      const key = { selector: 's1', algorithm: 'rsa-sha256', privateKey, entered: 3 } as const;
      keyring = { domain: domainName, generation: 3, mustSign: true, streams: { default: [key] }, others: [] };
    });
    const publicKey = () => publicKeyData(keyring.streams.default?.[0]?.privateKey ?? never());
    const never = (): never => {
      throw new Error('no key');
    };
    async function put(domain: string, selector: string, with_: 'ours' | 'foreign'): Promise<string> {
      const pair = with_ === 'ours' ? null : await generateKeyPair({ algorithm: 'rsa', bits: 2048 });
      const privateKey = pair?.privateKey ?? keyring.streams.default?.[0]?.privateKey ?? never();
      const spki = publicKeyData(privateKey);
      await redis.client.hset('DKIM_PUB_KEYS', domain, spki);
      await redis.client.hset('DKIM_SELECTORS', domain, selector);
      const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().trim();
      await redis.client.hset('DKIM_PRIV_KEYS', `${selector}.${domain}`, pem);
      return spki;
    }

    test('is taken over without a write where it is the wanted key already', async () => {
      await put(domainName, 's1', 'ours');
      const made = await make(clock);
      expect(await made.deliver(keyring)).toEqual({ kind: 'acknowledged', generation: 3 });
      expect(await made.selfTest(domainName, 'default', 's1')).toEqual({ kind: 'signed' });
      expect(mailcow.calls.filter((call) => call.startsWith('POST'))).toEqual([]);
      // Over a restart it knows what it has, and takes nothing older.
      const again = await make(clock);
      expect(await again.deliver({ ...keyring, generation: 2 })).toEqual({ kind: 'acknowledged', generation: 3 });
    });

    test("somebody else's key is left alone, unless it was decided to write over it; then it is kept on a helper domain", async () => {
      const foreign = await put(domainName, 'theirs', 'foreign');
      await put(`dkim-1.${domainName}`, 's1', 'ours');
      const made = await make(clock);
      const refused = await made.deliver(keyring);
      expect(refused.kind).toBe('drifted');
      expect(refused).toHaveProperty('message', expect.stringContaining('theirs'));
      expect((await signing()).publicKey).toBe(foreign);
      expect(await made.deliver({ ...keyring, overwrite: true })).toEqual({ kind: 'acknowledged', generation: 3 });
      expect((await signing()).publicKey).toBe(publicKey());
      expect(await signing(`dkim-2.${domainName}`)).toEqual({ selector: 'theirs', publicKey: foreign });
    });

    test('changes by hand are told apart from losses, and what cannot be asked says nothing', async () => {
      await put(domainName, 's1', 'ours');
      const made = await make(clock);
      await made.deliver(keyring);
      expect(await made.inspect?.(keyring)).toEqual({ kind: 'as-delivered' });
      await put(domainName, 'theirs', 'foreign');
      expect((await made.inspect?.(keyring))?.kind).toBe('changed');
      mailcow.showPrivateKeys = true;
      const found = (await made.found?.(domainName)) ?? [];
      expect(found.map(({ selector, inUse, privateKey }) => [selector, inUse, privateKey !== null])).toEqual([
        ['theirs', true, true],
      ]);
      await redis.flush();
      expect((await made.inspect?.(keyring))?.kind).toBe('lost');
      mailcow.trouble = { kind: 'error-500' };
      expect((await made.inspect?.(keyring))?.kind).toBe('unknown');
    });

    test('a withdrawn key of ours that a backup brought back goes without asking; one that retires is a change', async () => {
      await put(`dkim-1.${domainName}`, 's1', 'ours');
      const withdrawn = await put(domainName, 's0', 'foreign');
      const made = await make(clock);
      const with_ = (state: 'revoked' | 'retiring'): Keyring => ({
        ...keyring,
        others: [{ selector: 's0', publicKey: withdrawn, state }],
      });
      expect((await made.inspect?.(with_('retiring')))?.kind).toBe('changed');
      expect(await made.inspect?.(with_('revoked'))).toMatchObject({
        kind: 'lost',
        message: expect.stringContaining('s0'),
      });
      expect(await made.deliver(with_('revoked'))).toEqual({ kind: 'acknowledged', generation: 3 });
      expect((await signing()).publicKey).toBe(publicKey());
    });

    test('a private half that is not the public one is not acknowledged where mailcow shows it', async () => {
      await put(domainName, 's1', 'ours');
      const other = await generateKeyPair({ algorithm: 'rsa', bits: 2048 });
      const pem = other.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
      await redis.client.hset('DKIM_PRIV_KEYS', `s1.${domainName}`, pem);
      mailcow.showPrivateKeys = true;
      const made = await make(clock);
      expect(await made.deliver(keyring)).toMatchObject({ kind: 'failed' });
      expect((await made.inspect?.(keyring))?.kind).toBe('changed');
      expectNoSecrets(pem);
    });

    test('with nothing to sign with it keeps what is there', async () => {
      await put(domainName, 's1', 'ours');
      const made = await make(clock);
      await made.deliver(keyring);
      const empty = { ...keyring, generation: 4, streams: { default: [] } };
      expect((await made.deliver(empty)).kind).toBe('failed');
      expect((await signing()).selector).toBe('s1');
      expect(await made.deliver({ ...empty, mustSign: false })).toEqual({ kind: 'acknowledged', generation: 4 });
      expect((await signing()).selector).toBe('s1');
    });

    test('two streams are one too many, and selectors with a dot are refused', async () => {
      const made = await make(clock);
      const keys = keyring.streams.default ?? [];
      const two = await made.deliver({ ...keyring, streams: { default: keys, news: keys } });
      expect(two).toMatchObject({ kind: 'failed', message: expect.stringContaining('signs.streams') });
      const dotted = { ...keyring, streams: { default: keys.map((key) => ({ ...key, selector: 's1.mail' })) } };
      expect(await made.deliver(dotted)).toMatchObject({ kind: 'failed', message: expect.stringContaining('s1.mail') });
      expect(mailcow.calls.filter((call) => call.startsWith('POST'))).toEqual([]);
    });

    test('a domain that leaves takes its key along, and leaves what is not ours', async () => {
      await put(domainName, 's1', 'ours');
      const made = await make(clock);
      await made.deliver(keyring);
      await put(domainName, 'theirs', 'foreign');
      await made.forget(domainName);
      expect((await signing()).selector).toBe('theirs');
      await put(domainName, 's1', 'ours');
      const again = await make(clock);
      await again.deliver(keyring);
      await again.forget(domainName);
      expect((await signing()).selector).toBeNull();
      // Another instance may have put it there: one that knows nothing of it is told which keys are ours.
      await put(domainName, 's1', 'ours');
      using elsewhere = tempDir('mailcow');
      const settings = mailcowApiKind.settings.parse({ url: mailcow.url, apiKey });
      const other = await mailcowApiKind.create(settings, dependencies(elsewhere.path, clock, lines, signer));
      await other.forget(domainName);
      expect((await signing()).selector).toBe('s1');
      await other.forget(domainName, [{ selector: 's1', publicKey: publicKey(), state: 'retiring' }]);
      expect((await signing()).selector).toBeNull();
    });
  });

  describe('trouble', () => {
    const wanted = { selector: 'n1', bits: 2048 };

    test.each([
      [{ kind: 'error-500' }, 'status 500'],
      [{ kind: 'login-page' }, 'not JSON'],
      [{ kind: 'address-refused' }, 'api access denied for ip'],
      [{ kind: 'lies' }, 'does not have it'],
      [{ kind: 'slow', milliseconds: 2500 }, 'no answer within'],
    ] as const)('%j is said in words, and the next attempt waits', async (trouble, words) => {
      let time = clock.now();
      const made = await make({ now: () => time }, { timeout: '1s' });
      mailcow.trouble = trouble;
      await expect(made.makeKey?.(domainName, wanted)).rejects.toThrow(words);
      mailcow.trouble = { kind: 'none' };
      const asked = mailcow.calls.length;
      await expect(made.makeKey?.(domainName, wanted)).rejects.toThrow(words);
      expect(mailcow.calls.length).toBe(asked);
      time += 5000;
      expect(await made.makeKey?.(domainName, wanted)).toMatchObject({ privateKey: null });
      await made.close?.();
    });

    test.each(['before', 'after'] as const)(
      'a connection cut %s the write leaves no second key behind',
      async (when) => {
        let time = clock.now();
        mailcow.domains.set(`dkim-1.${domainName}`, { gal: false });
        const made = await make({ now: () => time });
        mailcow.trouble = { kind: 'cut', when };
        const first = await made.makeKey?.(domainName, wanted).catch(() => null);
        mailcow.trouble = { kind: 'none' };
        time += 5000;
        const second = await made.makeKey?.(domainName, wanted);
        if (when === 'after') expect(first).toEqual(second);
        expect(second?.publicKey).toBe((await signing(`dkim-1.${domainName}`)).publicKey);
        expect(Object.keys(await redis.client.hgetall('DKIM_PUB_KEYS'))).toEqual([`dkim-1.${domainName}`]);
      },
    );

    test('a read-only key, a wrong key and missing helper domains are each said with what to do', async () => {
      const refusal = async (settings: Record<string, unknown>) => {
        const made = await make(clock, settings);
        return made.makeKey?.(domainName, wanted).then(
          () => '',
          (error: Error) => error.message,
        );
      };
      expect(await refusal({ createShadows: false })).toContain(`no domain dkim-1.${domainName}`);
      mailcow.domains.set(`dkim-1.${domainName}`, { gal: false });
      expect(await refusal({ apiKey: 'read-only' })).toContain('read-write key');
      expect(await refusal({ apiKey: 'wrong-key' })).toContain('does not accept the API key');
      expect(lines.join('\n')).not.toContain('wrong-key');
    });

    test('that keeps keys from being made is a condition of the stream, told once, and gone when it is over', async () => {
      await using scene = await createSignerScene((now) => make(now, { createShadows: false }));
      await scene.add();
      const waiting = await scene.until(({ conditions }) => conditions.some(({ reason }) => reason === 'key-not-made'));
      const [condition] = waiting.conditions.filter(({ reason }) => reason === 'key-not-made');
      expect(condition?.message).toContain('createShadows: true');
      for (let looks = 0; looks < 10; looks++) {
        scene.time += 6000;
        await scene.look();
      }
      const { items } = await scene.store.journal.list({ order: 'oldest' }, { limit: 1000 });
      const told = items.filter(({ details }) => (details as { reason?: string }).reason === 'key-not-made');
      expect(told.map(({ kind }) => kind)).toEqual(['condition-raised']);
      for (const n of [1, 2, 3]) mailcow.domains.set(`dkim-${n}.${domainName}`, { gal: false });
      const fine = await scene.until(settled);
      expect(fine.conditions.filter(({ reason }) => reason === 'key-not-made')).toEqual([]);
    });

    test('a key of another length than asked for is not taken for the wanted one', async () => {
      const shadow = `dkim-1.${domainName}`;
      mailcow.domains.set(shadow, { gal: false });
      const client = createMailcowClient({ url: mailcow.url, apiKey, timeout: 2000 });
      await client.makeKey(shadow, 'n1', 1024);
      client.close();
      const made = await make(clock);
      await expect(made.makeKey?.(domainName, wanted)).rejects.toThrow('is no RSA key of 2048 bits but one of 1024');
    });

    test('when every helper domain is taken it says by what', async () => {
      const made = await make(clock, { shadowCount: 2 });
      await made.makeKey?.(domainName, { selector: 'n1', bits: 2048 });
      await made.makeKey?.(domainName, { selector: 'n2', bits: 2048 });
      await expect(made.makeKey?.(domainName, { selector: 'n3', bits: 2048 })).rejects.toThrow(
        `dkim-1.${domainName} (n1), dkim-2.${domainName} (n2)`,
      );
    });
  });

  /** Nothing that the signer wrote holds a private key or the API key. */
  function expectNoSecrets(...more: string[]): void {
    const written = [...lines, ...readdirSync(dir.path).map((file) => readFileSync(dir.join(file), 'utf8'))].join('\n');
    for (const secret of [apiKey, 'PRIVATE KEY', 'MII', ...more])
      expect(written.replaceAll(/"publicKey":"[^"]*"/g, '').includes(secret)).toBe(false);
  }
});
