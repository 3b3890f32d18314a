import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { rspamdRedis } from '../../src/signers/rspamd-redis/kind.ts';
import type { Signer } from '../../src/signers/signer.ts';
import { need } from '../support/need.ts';
import { waitFor } from '../support/processes.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { needRspamd, type RspamdServer, startRspamd } from '../support/rspamd.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { docsAcl } from './rspamd-guard.ts';
import {
  type Dependencies,
  dependencies,
  each,
  ed25519Key,
  keyring,
  other,
  rsaKey,
  secretsOf,
  sendMail,
} from './rspamd-world.ts';

const domain = 'example.com';
const needed = [need('redis-server', 'redis-server'), needRspamd()].every(Boolean);
const acknowledged = (generation: number) => ({ kind: 'acknowledged', generation });

describe.skipIf(!needed)('rspamd with keys in Redis', () => {
  const [r1, r2, e1, e2, foreign] = [
    rsaKey('r1'),
    rsaKey('r2', 2),
    ed25519Key('e1'),
    ed25519Key('e2', 2),
    rsaKey('r1'),
  ] as const;
  const keys = [r1, r2, e1, e2];
  const opened: Signer[] = [];
  let dir: TempDir;
  let redis: RedisServer;
  let needs: Dependencies;

  const make = async (settings: object): Promise<Signer> => {
    const whole = { redis: { servers: [`127.0.0.1:${redis.port}`], timeout: '2s' }, watchEvery: '100ms', ...settings };
    const made = await rspamdRedis.create(rspamdRedis.settings.parse(whole), needs);
    await made.load?.(each([]));
    opened.push(made);
    return made;
  };
  const pem = (key: typeof r1) => key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

  beforeAll(async () => {
    dir = tempDir('rspamd-redis');
    needs = dependencies(dir.path);
    redis = await startRedis();
  });
  afterAll(async () => {
    for (const signer of opened) await signer.close?.();
    await redis?.[Symbol.asyncDispose]();
    dir?.remove();
  });
  beforeEach(async () => {
    for (const signer of opened.splice(0)) await signer.close?.();
    await redis.flush();
  });

  describe('many keys per domain, under selectors that rspamd lists', () => {
    let rspamd: RspamdServer;
    const selectors = ['r1', 'r2', 'e1', 'e2'];
    const open = () => make({ selectors });
    const fields = async () => Object.keys(await redis.client.hgetall('DKIM_KEYS')).toSorted();
    const mail = () => sendMail(rspamd, domain, keys);

    beforeAll(async () => {
      const listed = selectors.map((selector) => `{ selector = "${selector}"; }`).join(', ');
      rspamd = await startRspamd({
        signing: `use_redis = true; key_prefix = "DKIM_KEYS"; servers = "127.0.0.1:${redis.port}"; timeout = 10; use_esld = false;
          try_fallback = false; domain { "${domain}" { selectors [ ${listed} ] } }`,
      });
    });
    afterAll(() => rspamd?.stop());

    test('signs with RSA and Ed25519 together; a key signs from when it is there until it is gone', async () => {
      const signer = await open();
      expect(await signer.deliver(keyring(domain, 1, [r1, e1]))).toEqual(acknowledged(1));
      expect(await mail()).toEqual({ verdict: 'accepted', signedBy: ['e1', 'r1'] });
      expect(await signer.deliver(keyring(domain, 2, [r1, e1, r2, e2]))).toEqual(acknowledged(2));
      expect(await mail()).toEqual({ verdict: 'accepted', signedBy: ['e1', 'e2', 'r1', 'r2'] });
      const last = keyring(domain, 3, [r2, e2], { others: [other(r1, 'retiring'), other(e1, 'retiring')] });
      expect(await signer.deliver(last)).toEqual(acknowledged(3));
      expect(await mail()).toEqual({ verdict: 'accepted', signedBy: ['e2', 'r2'] });
      expect(await fields()).toEqual([`e2.${domain}`, `r2.${domain}`]);
      expect(await signer.inspect?.(last)).toEqual({ kind: 'as-delivered' });
      expect(await signer.selfTest(domain, 'default', 'e2')).toEqual({ kind: 'signed' });
      expect(await signer.deliver(keyring(domain, 2, [r1, e1]))).toEqual(acknowledged(3));
      expect(await signer.deliver(keyring(domain, 4, []))).toMatchObject({ kind: 'failed' });
      await signer.forget(domain);
      expect(await fields()).toEqual([]);
    });

    test('where no key stays, mail on its way meets one of them all the same', async () => {
      const signer = await open();
      await signer.deliver(keyring(domain, 1, [r1]));
      let over = false;
      const unsigned: unknown[] = [];
      let sent = 0;
      const flow = async () => {
        while (!over) {
          const { signedBy } = await mail();
          sent += 1;
          if (signedBy.length === 0) unsigned.push(signedBy);
        }
      };
      const flows = [flow(), flow(), flow()];
      const skipped = keyring(domain, 3, [r2], { others: [other(r1, 'retiring')] });
      expect(await signer.deliver(skipped)).toEqual(acknowledged(3));
      over = true;
      await Promise.all(flows);
      expect(unsigned).toEqual([]);
      expect(sent).toBeGreaterThan(10);
      expect(await fields()).toEqual([`r2.${domain}`]);
    });

    test('a selector that rspamd does not list is refused: nothing would sign with it', async () => {
      const signer = await open();
      const refused = await signer.deliver(keyring(domain, 1, [{ ...r1, selector: 'new' }]));
      expect(refused).toMatchObject({ kind: 'failed', message: expect.stringContaining('slots') });
      expect(await fields()).toEqual([]);
      await expect(make({})).rejects.toThrow('selectors');
    });

    test('drift: another key is a change, a missing one a loss, one that came back a change', async () => {
      const signer = await open();
      const now = keyring(domain, 2, [r2], { others: [other(r1, 'retiring')] });
      await signer.deliver(now);
      await redis.client.hset('DKIM_KEYS', `r2.${domain}`, pem(foreign));
      expect(await signer.inspect?.(now)).toMatchObject({ kind: 'changed' });
      expect(await signer.deliver(now)).toMatchObject({ kind: 'drifted' });
      expect(await signer.found?.(domain)).toEqual([{ selector: 'r2', privateKey: pem(foreign), inUse: true }]);
      expect(await signer.deliver({ ...now, overwrite: true })).toEqual(acknowledged(2));
      await redis.client.hdel('DKIM_KEYS', `r2.${domain}`);
      expect(await signer.inspect?.(now)).toMatchObject({ kind: 'lost' });
      expect(await signer.deliver(now)).toEqual(acknowledged(2));
      await redis.client.hset('DKIM_KEYS', `r1.${domain}`, pem(r1));
      expect(await signer.inspect?.(now)).toMatchObject({ kind: 'changed', message: expect.stringContaining('r1') });
      expect(await mail()).toMatchObject({ signedBy: ['r1', 'r2'] });
      await signer.deliver({ ...now, overwrite: true });
      expect(await mail()).toMatchObject({ signedBy: ['r2'] });
    });

    test('of what is found there rspamd says what is in use: not an unused key, nor one of a subdomain', async () => {
      const signer = await make({ test: { url: rspamd.url } });
      await redis.client.hset(
        'DKIM_KEYS',
        `r1.${domain}`,
        pem(r1),
        `old.${domain}`,
        pem(r2),
        `s9.sub.${domain}`,
        pem(foreign),
      );
      const found = (await signer.found?.(domain)) ?? [];
      const inUse = found.map(({ selector, inUse: is }) => [selector, is]).toSorted();
      expect(inUse).toEqual([
        ['old', false],
        ['r1', true],
        ['s9.sub', false],
      ]);
    });

    test('flushed, it is all back within moments', async () => {
      const signer = await open();
      await signer.deliver(keyring(domain, 1, [r1, e1]));
      await waitFor(async () => (await redis.client.hget('KEYTURN_DKIM', '*')) !== null, { what: 'the mark' });
      await redis.flush();
      await waitFor(async () => (await fields()).length === 2, { what: 'the keys to be back' });
      expect(await mail()).toEqual({ verdict: 'accepted', signedBy: ['e1', 'r1'] });
    });
  });

  test.each([
    ['many keys', { selectors: ['r1', 'r2'] }],
    ['one key', { keyPrefix: 'KEYS', selectorPrefix: 'SELECTORS' }],
  ])('what left by another instance is not put back by this one when Redis is flushed (%s)', async (_, layout) => {
    const [leaving, staying] = [await make(layout), await make({ ...layout, watchEvery: '10m' })];
    await leaving.deliver(keyring('stays.example', 1, [r2]));
    await leaving.deliver(keyring(domain, 1, [r1]));
    await staying.deliver(keyring(domain, 1, [r1]));
    // The other instance has it forgotten; this one hears of it when it looks at what stands there.
    await staying.forget(domain);
    const left = { ...keyring(domain, 2, []), mustSign: false, others: [other(r1, 'retiring')] };
    expect(await leaving.inspect?.(left)).toEqual({ kind: 'as-delivered' });
    await waitFor(async () => (await redis.client.hget('KEYTURN_DKIM', '*')) !== null, { what: 'the mark' });
    await redis.flush();
    const back = async () => {
      const marks = await redis.client.hkeys('KEYTURN_DKIM');
      return marks.toSorted();
    };
    await waitFor(async () => (await back()).length >= 2, { what: 'the keys to be back' });
    expect(await back()).toEqual(['*', 'stays.example']);
  });

  describe('one key per domain, named by a hash of selectors', () => {
    let rspamd: RspamdServer;
    const prefix = { keyPrefix: 'KEYS', selectorPrefix: 'SELECTORS' };

    beforeAll(async () => {
      rspamd = await startRspamd({
        signing: `use_redis = true; key_prefix = "KEYS"; selector_prefix = "SELECTORS"; servers = "127.0.0.1:${redis.port}"; timeout = 10; use_esld = false;`,
      });
    });
    afterAll(() => rspamd?.stop());

    test('the latest key signs, RSA or Ed25519', async () => {
      const signer = await make({ ...prefix, test: { url: rspamd.url } });
      expect(rspamdRedis.abilities(rspamdRedis.settings.parse(prefix))).toEqual({
        algorithms: ['rsa', 'ed25519'],
        atMost: 1,
      });
      expect(await signer.deliver(keyring(domain, 1, [r1]))).toEqual(acknowledged(1));
      expect(await sendMail(rspamd, domain, keys)).toEqual({ verdict: 'accepted', signedBy: ['r1'] });
      expect(await signer.deliver(keyring(domain, 2, [r1, e2]))).toEqual(acknowledged(2));
      expect(await sendMail(rspamd, domain, keys)).toEqual({ verdict: 'accepted', signedBy: ['e2'] });
      expect(await signer.selfTest(domain, 'default', 'e2')).toEqual({ kind: 'signed' });
      expect(await signer.selfTest(domain, 'default', 'r1')).toMatchObject({ kind: 'failed' });
      expect(await redis.client.keys('*')).toEqual(expect.not.arrayContaining(['DKIM_PUB_KEYS']));
    });

    test('the rights on the page are enough', async () => {
      await redis.client.call('ACL', 'SETUSER', 'keyturn', 'reset', 'on', '>least-rights', ...docsAcl('rspamd-redis'));
      const server = { servers: [`127.0.0.1:${redis.port}`], username: 'keyturn', password: 'least-rights' };
      const settings = { redis: server, keyPrefix: 'DKIM_KEYS', selectorPrefix: 'DKIM_SELECTORS' };
      const one = await make(settings);
      expect(await one.deliver(keyring(domain, 1, [r1]))).toEqual(acknowledged(1));
      expect(await one.found?.(domain)).toHaveLength(1);
      await one.forget(domain);
      const many = await make({ redis: server, selectors: ['r1', 'r2'] });
      expect(await many.deliver(keyring(domain, 1, [r1]))).toEqual(acknowledged(1));
      expect(await many.found?.(domain)).toHaveLength(1);
      await many.forget(domain);
      expect(await redis.client.hlen('DKIM_KEYS')).toBe(0);
    });
  });

  test('no private key in any log', () => {
    for (const secret of secretsOf(keys)) expect(needs.lines.join('\n')).not.toContain(secret);
  });
});
