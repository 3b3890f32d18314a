import { createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Keyring } from '../../src/signers/keyring.ts';
import { mailcowRedis } from '../../src/signers/mailcow-redis.ts';
import type { Signer } from '../../src/signers/signer.ts';
import { need } from '../support/need.ts';
import { waitFor } from '../support/processes.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { needRspamd, type RspamdServer, startRspamd } from '../support/rspamd.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { mailcowSigning } from './mailcow-rspamd.ts';
import { docsGuard } from './rspamd-guard.ts';
import { type Dependencies, dependencies, each, keyring, other, rsaKey, secretsOf, sendMail } from './rspamd-world.ts';

const domain = 'example.com';
const needed = [need('redis-server', 'redis-server'), needRspamd()].every(Boolean);

describe.skipIf(!needed)('mailcow by its Redis', () => {
  const [k1, k2, k3, foreign] = [rsaKey('s1'), rsaKey('s2', 2), rsaKey('s3', 3), rsaKey('dkim')] as const;
  const keys = [k1, k2, k3, foreign];
  const password = 'the-password-of-redis';
  let dir: TempDir;
  let redis: RedisServer;
  let plain: RspamdServer;
  let guarded: RspamdServer;
  let signer: Signer;
  let needs: Dependencies;

  const make = async (more: object = {}): Promise<Signer> => {
    const settings = {
      redis: { servers: [`127.0.0.1:${redis.port}`], password, timeout: '2s' },
      watchEvery: '100ms',
      ...more,
    };
    const made = await mailcowRedis.create(mailcowRedis.settings.parse(settings), needs);
    await made.load?.(each([]));
    return made;
  };
  const pem = (key: typeof k1) => key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const spki = (key: typeof k1) =>
    createPublicKey(key.privateKey).export({ type: 'spki', format: 'der' }).toString('base64');
  const hashes = async () => ({
    selectors: await redis.client.hgetall('DKIM_SELECTORS'),
    publicKeys: await redis.client.hgetall('DKIM_PUB_KEYS'),
    privateKeys: await redis.client.hgetall('DKIM_PRIV_KEYS'),
  });
  /** As mailcow's own pages would put it there. */
  const byHand = async (key: typeof k1, its = domain) => {
    await redis.client.hset('DKIM_PRIV_KEYS', `${key.selector}.${its}`, pem(key));
    await redis.client.hset('DKIM_PUB_KEYS', its, spki(key));
    await redis.client.hset('DKIM_SELECTORS', its, key.selector);
  };
  const acknowledged = (generation: number) => ({ kind: 'acknowledged', generation });
  const mail = () => sendMail(plain, domain, keys);

  beforeAll(async () => {
    dir = tempDir('mailcow');
    needs = dependencies(dir.path);
    redis = await startRedis({ password });
    const signing = mailcowSigning(redis.port, password);
    plain = await startRspamd({ signing });
    guarded = await startRspamd({ signing, guard: docsGuard() });
    signer = await make();
  });

  afterAll(async () => {
    await signer?.close?.();
    await plain?.stop();
    await guarded?.stop();
    await redis?.[Symbol.asyncDispose]();
    dir?.remove();
  });

  beforeEach(async () => {
    for (const key of ['DKIM_SELECTORS', 'DKIM_PUB_KEYS', 'DKIM_PRIV_KEYS']) await redis.client.del(key);
    const fields = (await redis.client.hkeys('KEYTURN_DKIM')).filter((field) => field !== '*');
    if (fields.length > 0) await redis.client.hdel('KEYTURN_DKIM', ...fields);
  });

  test('writes the three hashes exactly, and rspamd signs with the next message', async () => {
    expect(await signer.deliver(keyring(domain, 1, [k1]))).toEqual(acknowledged(1));
    expect(await hashes()).toEqual({
      selectors: { [domain]: 's1' },
      publicKeys: { [domain]: spki(k1) },
      privateKeys: { [`s1.${domain}`]: pem(k1) },
    });
    expect(await mail()).toEqual({ verdict: 'accepted', signedBy: ['s1'] });
  });

  test('of two active keys the newer signs; the older stays until its mail has had its time', async () => {
    await signer.deliver(keyring(domain, 1, [k1]));
    expect(await signer.deliver(keyring(domain, 2, [k1, k2]))).toEqual(acknowledged(2));
    expect(await mail()).toEqual({ verdict: 'accepted', signedBy: ['s2'] });
    const retiring = keyring(domain, 3, [k2], { others: [other(k1, 'retiring')] });
    expect(await signer.deliver(retiring)).toEqual(acknowledged(3));
    expect(await signer.inspect?.(retiring)).toEqual({ kind: 'as-delivered' });
    expect(Object.keys((await hashes()).privateKeys).toSorted()).toEqual([`s1.${domain}`, `s2.${domain}`]);
    const over = keyring(domain, 3, [k2], { others: [other(k1, 'revoked')] });
    expect(await signer.inspect?.(over)).toEqual({ kind: 'as-delivered' });
    expect(Object.keys((await hashes()).privateKeys)).toEqual([`s2.${domain}`]);
    expect(await mail()).toEqual({ verdict: 'accepted', signedBy: ['s2'] });
  });

  test('an older generation changes nothing, whoever brings it', async () => {
    await signer.deliver(keyring(domain, 5, [k2], { others: [other(k1, 'retiring')] }));
    const second = await make();
    expect(await second.deliver(keyring(domain, 4, [k1, k2].slice(0, 1)))).toEqual(acknowledged(5));
    expect((await hashes()).selectors).toEqual({ [domain]: 's2' });
    await second.close?.();
  });

  test('two instances at once: the newest generation wins, whole, in whatever order they come', async () => {
    const second = await make();
    const [first, all] = [signer, [k1, k2, k3]];
    for (let round = 1; round <= 8; round++) {
      const base = round * 10;
      const at = (n: number) =>
        keyring(domain, base + n, all.slice(0, n + 1), {
          others: all.slice(n + 1).map((key) => other(key, 'standby')),
        });
      const answers = await Promise.all([
        first.deliver(at(1)),
        second.deliver(at(2)),
        first.deliver(at(0)),
        second.deliver(at(1)),
        first.deliver(at(2)),
      ]);
      for (const answer of answers) expect(['acknowledged', 'pending', 'failed']).toContain(answer.kind);
      // Whoever was told to come again comes again.
      await first.deliver(at(0));
      expect(await second.deliver(at(2))).toEqual(acknowledged(base + 2));
      const { selectors, publicKeys, privateKeys } = await hashes();
      expect([selectors[domain], publicKeys[domain], privateKeys[`s3.${domain}`]]).toEqual(['s3', spki(k3), pem(k3)]);
      expect(JSON.parse((await redis.client.hget('KEYTURN_DKIM', domain)) ?? '{}').generation).toBe(base + 2);
    }
    await second.close?.();
  });

  test('a selector that is used again takes its new key, also where the old one was still there', async () => {
    const again = rsaKey('s1', 3);
    await signer.deliver(keyring(domain, 1, [k1]));
    await signer.deliver(keyring(domain, 2, [k2], { others: [other(k1, 'revoked')] }));
    const reused = keyring(domain, 3, [k2, again], { others: [other(k1, 'removed')] });
    expect(await signer.deliver(reused)).toEqual(acknowledged(3));
    expect(await sendMail(plain, domain, [again])).toEqual({ verdict: 'accepted', signedBy: ['s1'] });
    expect(await signer.inspect?.(reused)).toEqual({ kind: 'as-delivered' });
    expect((await hashes()).privateKeys).toEqual({ [`s1.${domain}`]: pem(again), [`s2.${domain}`]: pem(k2) });
  });

  test('never leaves the domain without a key', async () => {
    await signer.deliver(keyring(domain, 1, [k1]));
    expect(await signer.deliver(keyring(domain, 2, []))).toMatchObject({ kind: 'failed' });
    expect((await hashes()).selectors).toEqual({ [domain]: 's1' });
    expect(await signer.deliver(keyring('new.example', 0, [], { mustSign: false }))).toEqual(acknowledged(0));
    expect(await signer.deliver({ ...keyring('news.example', 3, []), streams: { news: [k1] } })).toEqual(
      acknowledged(3),
    );
    expect(Object.keys((await hashes()).selectors)).toEqual([domain]);
  });

  test("what somebody else put there stays until it was decided that it goes; mailcow's form is kept", async () => {
    await byHand(foreign);
    const before = await hashes();
    const ours = keyring(domain, 1, [k1]);
    expect(await signer.deliver(ours)).toMatchObject({ kind: 'drifted', message: expect.stringContaining('dkim') });
    expect(await hashes()).toEqual(before);
    expect(await signer.found?.(domain)).toEqual([{ selector: 'dkim', privateKey: pem(foreign), inUse: true }]);
    // Adopted: the same key, taken over, is left byte for byte, though it is written in PKCS#1.
    const pkcs1 = foreign.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
    await redis.client.hset('DKIM_PRIV_KEYS', `dkim.${domain}`, pkcs1);
    expect(await signer.deliver(keyring(domain, 1, [foreign]))).toEqual(acknowledged(1));
    expect((await hashes()).privateKeys).toEqual({ [`dkim.${domain}`]: pkcs1 });
    // Or written over.
    await byHand({ ...k3, selector: 'other' });
    expect(await signer.deliver({ ...keyring(domain, 2, [k1]), overwrite: true })).toEqual(acknowledged(2));
    expect((await hashes()).selectors).toEqual({ [domain]: 's1' });
    expect((await hashes()).privateKeys[`other.${domain}`]).toBe(pem(k3));
  });

  test.each<[string, string, (now: Keyring) => Promise<unknown>]>([
    ['another selector', 'changed', () => byHand(foreign)],
    [
      'another key under our selector',
      'changed',
      () => redis.client.hset('DKIM_PRIV_KEYS', `s1.${domain}`, pem(foreign)),
    ],
    ['no key at all', 'changed', () => redis.client.hset('DKIM_PRIV_KEYS', `s1.${domain}`, 'nothing')],
    ['another public key', 'changed', () => redis.client.hset('DKIM_PUB_KEYS', domain, spki(foreign))],
    ['the selector deleted', 'lost', () => redis.client.hdel('DKIM_SELECTORS', domain)],
    ['the private key deleted', 'lost', () => redis.client.hdel('DKIM_PRIV_KEYS', `s1.${domain}`)],
    ['the public key deleted', 'lost', () => redis.client.hdel('DKIM_PUB_KEYS', domain)],
  ])('inspected: %s is %s', async (_, kind, change) => {
    const now = keyring(domain, 1, [k1]);
    await signer.deliver(now);
    expect(await signer.inspect?.(now)).toEqual({ kind: 'as-delivered' });
    await change(now);
    expect(await signer.inspect?.(now)).toMatchObject({ kind, message: expect.stringContaining(domain) });
    if (kind === 'lost') expect(await signer.deliver(now)).toEqual(acknowledged(1));
    else expect(await signer.deliver(now)).toMatchObject({ kind: 'drifted' });
    expect(await signer.deliver({ ...now, overwrite: true })).toEqual(acknowledged(1));
    expect(await mail()).toEqual({ verdict: 'accepted', signedBy: ['s1'] });
  });

  test('put back to an older key of ours by hand is a change; by a backup that was restored, a loss', async () => {
    const now = keyring(domain, 2, [k2], { others: [other(k1, 'retiring')] });
    await signer.deliver(keyring(domain, 1, [k1]));
    const old = await redis.client.hgetall('KEYTURN_DKIM');
    await signer.deliver(now);
    await redis.client.hset('DKIM_SELECTORS', domain, 's1');
    expect(await signer.inspect?.(now)).toMatchObject({ kind: 'changed' });
    await redis.client.hset('KEYTURN_DKIM', domain, old[domain] ?? '');
    expect(await signer.inspect?.(now)).toMatchObject({ kind: 'lost' });
    expect(await signer.deliver(now)).toEqual(acknowledged(2));
    expect((await hashes()).selectors).toEqual({ [domain]: 's2' });
  });

  test('a dotted selector that is another domain’s entry is refused', async () => {
    await byHand({ ...foreign, selector: 's1' }, 'mail.example.com');
    const before = await hashes();
    const dotted = await signer.deliver(keyring(domain, 1, [{ ...k1, selector: 's1.mail' }]));
    expect(dotted).toMatchObject({ kind: 'failed', message: expect.stringContaining('mail.example.com') });
    expect(await hashes()).toEqual(before);
    await byHand({ ...foreign, selector: 's9.sub' }, domain);
    const below = await signer.deliver(keyring('sub.example.com', 1, [{ ...k1, selector: 's9' }]));
    expect(below).toMatchObject({ kind: 'failed', message: expect.stringContaining('example.com') });
    // The entry of a subdomain is not taken for a key of the domain above it.
    const found = await signer.found?.(domain);
    expect(found?.map(({ selector }) => selector)).toEqual(['s9.sub']);
  });

  test('a domain that leaves takes what is its own, and nothing else', async () => {
    await byHand({ ...foreign, selector: 'hand' }, 'else.example');
    await signer.deliver(keyring(domain, 1, [k1]));
    await redis.client.hset('DKIM_PRIV_KEYS', `hand.${domain}`, pem(foreign));
    await signer.forget(domain);
    expect(await hashes()).toEqual({
      selectors: { 'else.example': 'hand' },
      publicKeys: { 'else.example': spki(foreign) },
      privateKeys: { [`hand.${domain}`]: pem(foreign), 'hand.else.example': pem(foreign) },
    });
    await byHand(foreign);
    await signer.forget(domain);
    expect((await hashes()).selectors[domain]).toBe('dkim');
  });

  test('the self-test is of what stands there, or of rspamd itself', async () => {
    await signer.deliver(keyring(domain, 1, [k1]));
    expect(await signer.selfTest(domain, 'default', 's1')).toEqual({ kind: 'signed' });
    await redis.client.hset('DKIM_SELECTORS', domain, 's2');
    expect(await signer.selfTest(domain, 'default', 's1')).toMatchObject({ kind: 'failed' });
    const probing = await make({ test: { url: plain.url } });
    await redis.client.hset('DKIM_SELECTORS', domain, 's1');
    await probing.deliver(keyring(domain, 1, [k1]));
    expect(await probing.selfTest(domain, 'default', 's1')).toEqual({ kind: 'signed' });
    await redis.client.hdel('DKIM_PRIV_KEYS', `s1.${domain}`);
    const failed = await probing.selfTest(domain, 'default', 's1');
    expect(failed).toMatchObject({ kind: 'failed', message: expect.stringContaining('did not sign') });
    await probing.close?.();
  });

  test('flushed: everything is back within moments; without the guard mail leaves unsigned until then, with it it waits', async () => {
    await signer.deliver(keyring(domain, 1, [k1]));
    for (let n = 0; n < 60; n++) await signer.deliver(keyring(`d${n}.example`, 1, [k1]));
    await redis.flush();
    const first = await Promise.all([mail(), sendMail(guarded, domain, keys)]);
    expect([
      { verdict: 'tempfailed', signedBy: [] },
      { verdict: 'accepted', signedBy: ['s1'] },
    ]).toContainEqual(first[1]);
    await waitFor(async () => (await redis.client.hlen('DKIM_SELECTORS')) === 61, { what: 'the keys to be back' });
    await waitFor(async () => (await redis.client.hget('KEYTURN_DKIM', '*')) !== null, { what: 'the mark' });
    expect(await mail()).toEqual({ verdict: 'accepted', signedBy: ['s1'] });
    expect(await sendMail(guarded, domain, keys)).toEqual({ verdict: 'accepted', signedBy: ['s1'] });
    expect(needs.lines.join('\n')).toContain('redis-lost-everything');
    for (let n = 0; n < 60; n++) await signer.forget(`d${n}.example`);
  });

  test('flushed, and written by somebody else in the same moment: theirs stays, the rest is put back', async () => {
    await signer.deliver(keyring(domain, 1, [k1]));
    await signer.deliver(keyring('other.example', 1, [k2]));
    await waitFor(async () => (await redis.client.hget('KEYTURN_DKIM', '*')) !== null, { what: 'the mark' });
    const theirs = [`dkim.${domain}`, pem(foreign)] as const;
    await redis.client
      .multi()
      .flushall()
      .hset('DKIM_PRIV_KEYS', ...theirs)
      .hset('DKIM_SELECTORS', domain, 'dkim')
      .exec();
    await waitFor(async () => (await redis.client.hget('DKIM_SELECTORS', 'other.example')) === 's2', { what: 'ours' });
    await waitFor(async () => (await redis.client.hget('KEYTURN_DKIM', '*')) !== null, { what: 'the mark' });
    expect((await hashes()).selectors).toEqual({ [domain]: 'dkim', 'other.example': 's2' });
    expect(await signer.inspect?.(keyring(domain, 1, [k1]))).toMatchObject({ kind: 'changed' });
  });

  test('away: nothing is thrown away and the words say what to do; back without its data, all of it is put back', async () => {
    await signer.deliver(keyring(domain, 1, [k1]));
    await redis.kill();
    await expect(signer.deliver(keyring(domain, 2, [k2]))).rejects.toThrow(/Redis at 127.0.0.1:\d+ is not reached/);
    expect(await signer.inspect?.(keyring(domain, 1, [k1]))).toMatchObject({ kind: 'unknown' });
    expect(await sendMail(guarded, domain, keys)).toEqual({ verdict: 'tempfailed', signedBy: [] });
    await redis.start();
    await waitFor(async () => (await redis.client.hget('DKIM_SELECTORS', domain)) === 's1', {
      what: 'the key to be back',
    });
    await waitFor(async () => (await mail()).signedBy.join() === 's1', { what: 'rspamd to sign again' });
  });

  test('read-only, or silent: said in words, in time, and nothing half done', async () => {
    const now = keyring(domain, 2, [k1, k2]);
    await signer.deliver(keyring(domain, 1, [k1]));
    const before = await hashes();
    await redis.client.config('SET', 'min-replicas-to-write', '1');
    await expect(signer.deliver(now)).rejects.toThrow(/takes no writes/);
    expect(await hashes()).toEqual(before);
    await redis.client.config('SET', 'min-replicas-to-write', '0');
    redis.freeze();
    await expect(signer.deliver(now)).rejects.toThrow(/not reached/);
    expect(await signer.inspect?.(keyring(domain, 1, [k1]))).toMatchObject({ kind: 'unknown' });
    redis.thaw();
    await waitFor(async () => (await signer.deliver(now)).kind === 'acknowledged', { what: 'Redis to speak again' });
    expect(await mail()).toEqual({ verdict: 'accepted', signedBy: ['s2'] });
  });

  test('another stream is not its business', async () => {
    await signer.deliver({ ...keyring(domain, 1, [k1]), streams: { default: [k1], news: [k2] } });
    const failed = await signer.selfTest(domain, 'news', 's2');
    expect(failed).toMatchObject({ kind: 'failed', message: expect.stringContaining('signs.streams') });
  });

  test('rspamd killed at the switch signs with the new key as soon as it is back', async () => {
    await signer.deliver(keyring(domain, 1, [k1]));
    await plain.kill();
    expect(await signer.deliver(keyring(domain, 2, [k1, k2]))).toEqual(acknowledged(2));
    await expect(mail()).rejects.toThrow();
    await plain.start();
    expect(await mail()).toEqual({ verdict: 'accepted', signedBy: ['s2'] });
  });

  test('the rights on the page are enough, and no more than needed', async () => {
    const { docsAcl } = await import('./rspamd-guard.ts');
    const rules = docsAcl('mailcow-redis');
    await redis.client.call('ACL', 'SETUSER', 'keyturn', 'reset', 'on', '>least-rights', ...rules);
    const least = await make({
      redis: { servers: [`127.0.0.1:${redis.port}`], username: 'keyturn', password: 'least-rights' },
    });
    await least.deliver(keyring(domain, 1, [k1]));
    await least.deliver(keyring(domain, 2, [k1, k2]));
    const over = keyring(domain, 2, [k2], { others: [other(k1, 'revoked')] });
    expect(await least.inspect?.(over)).toEqual({ kind: 'as-delivered' });
    expect(Object.keys((await hashes()).privateKeys)).toEqual([`s2.${domain}`]);
    expect(await least.found?.(domain)).toHaveLength(1);
    await least.forget(domain);
    expect((await hashes()).selectors).toEqual({});
    await least.close?.();
    await redis.client.call('ACL', 'SETUSER', 'keyturn', '-hset');
    const lesser = await make({
      redis: { servers: [`127.0.0.1:${redis.port}`], username: 'keyturn', password: 'least-rights' },
    });
    await expect(lesser.deliver(keyring(domain, 3, [k1]))).rejects.toThrow(/rights/);
    await lesser.close?.();
  });

  test('no private key and no password in any log or error', async () => {
    const wrong = await make({ redis: { servers: [`127.0.0.1:${redis.port}`], password: 'a-wrong-password' } });
    const error = await wrong.deliver(keyring(domain, 1, [k1])).catch((reason: unknown) => String(reason));
    await wrong.close?.();
    expect(error).toContain('`redis.password`');
    const written = [needs.lines.join('\n'), error, plain.output(), guarded.output()].join('\n');
    for (const secret of [...secretsOf(keys), password, 'a-wrong-password', 'least-rights'])
      expect(written).not.toContain(secret);
  });
});

describe.skipIf(!need('redis-server', 'redis-server'))('Redis over TLS', () => {
  test('with its certificate checked', async () => {
    await using redis = await startRedis({ password: 'secret-of-redis', tls: true });
    using dir = tempDir('mailcow-tls');
    const settings = (tls: object) =>
      mailcowRedis.settings.parse({
        redis: { servers: [`127.0.0.1:${redis.port}`], password: 'secret-of-redis', tls, timeout: '1s' },
      });
    const key = rsaKey('s1');
    const good = await mailcowRedis.create(
      settings({ ca: redis.tls?.ca, serverName: 'localhost' }),
      dependencies(dir.path),
    );
    expect(await good.deliver(keyring(domain, 1, [key]))).toEqual({ kind: 'acknowledged', generation: 1 });
    await good.close?.();
    const bad = await mailcowRedis.create(settings({}), dependencies(dir.path));
    await expect(bad.deliver(keyring(domain, 1, [key]))).rejects.toThrow(/certificate|not reached/);
    await bad.close?.();
  });
});
