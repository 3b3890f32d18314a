import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rspamdFiles } from '../../src/signers/rspamd-files.ts';
import type { Signer } from '../../src/signers/signer.ts';
import { waitFor } from '../support/processes.ts';
import { needRspamd, type RspamdServer, startRspamd } from '../support/rspamd.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import {
  type Dependencies,
  dependencies,
  ed25519Key,
  keyring,
  other,
  rsaKey,
  secretsOf,
  sendMail,
} from './rspamd-world.ts';

const domain = 'example.com';

describe.skipIf(!needRspamd())('rspamd with key files and a map of selectors', () => {
  const [k1, k2, e3, foreign] = [rsaKey('s1'), rsaKey('s2', 2), ed25519Key('s3', 3), rsaKey('hand')] as const;
  /** Another key under the first one's selector: slots are used again. */
  const again = rsaKey('s1', 4);
  let keys = [k1, k2, e3, foreign];
  let dir: TempDir;
  let rspamd: RspamdServer;
  let signer: Signer;
  let needs: Dependencies;
  const folder = () => dir.join('dkim');
  const map = () => dir.join('dkim', 'selectors.map');
  const make = async (timeout = '15s') => {
    const settings = { keys: folder(), selectorMap: map(), timeout, test: { url: rspamd.url } };
    return rspamdFiles.create(rspamdFiles.settings.parse(settings), needs);
  };
  const rows = () =>
    readFileSync(map(), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
  /** Each of rspamd's processes reads the map by itself: the test message went through another one than mail does. */
  const signsWith = (selector: string) =>
    waitFor(async () => (await sendMail(rspamd, domain, keys)).signedBy.join() === selector, {
      what: `mail to be signed with ${selector}`,
    });
  const acknowledged = (generation: number) => ({ kind: 'acknowledged', generation });

  beforeAll(async () => {
    dir = tempDir('rspamd-files');
    mkdirSync(folder());
    mkdirSync(dir.join('state'));
    needs = dependencies(dir.join('state'));
    writeFileSync(map(), '');
    rspamd = await startRspamd({
      signing: `path = "${folder()}/$domain.$selector.key"; selector_map = "${map()}"; try_fallback = false; use_esld = false;`,
      options: 'map_watch_interval = 1s; map_file_watch_multiplier = 0.3;',
    });
    signer = await make();
  });

  afterAll(async () => {
    await signer?.close?.();
    await rspamd?.stop();
    dir?.remove();
  });

  test('counts when rspamd has read its map again and signs', async () => {
    expect(await signer.deliver(keyring(domain, 1, [k1]))).toEqual(acknowledged(1));
    expect(rows()).toEqual([`${domain} s1`]);
    expect(readdirSync(folder()).toSorted()).toEqual([`${domain}.s1.key`, 'selectors.map']);
    expect(statSync(`${folder()}/${domain}.s1.key`).mode & 0o777).toBe(0o640);
    await signsWith('s1');
  });

  test('of two active keys the newer signs, Ed25519 too; the older file goes when its mail has had its time', async () => {
    expect(await signer.deliver(keyring(domain, 2, [k1, k2]))).toEqual(acknowledged(2));
    await signsWith('s2');
    const retiring = keyring(domain, 3, [k2, e3], { others: [other(k1, 'retiring')] });
    expect(await signer.deliver(retiring)).toEqual(acknowledged(3));
    await signsWith('s3');
    expect(await signer.inspect?.(retiring)).toEqual({ kind: 'as-delivered' });
    expect(existsSync(`${folder()}/${domain}.s1.key`)).toBe(true);
    const over = keyring(domain, 3, [k2, e3], { others: [other(k1, 'revoked')] });
    expect(await signer.inspect?.(over)).toEqual({ kind: 'as-delivered' });
    expect(existsSync(`${folder()}/${domain}.s1.key`)).toBe(false);
    expect(await signer.selfTest(domain, 'default', 's3')).toEqual({ kind: 'signed' });
  });

  test('a rspamd that does not read its map in time has not acknowledged; nothing is lost by it', async () => {
    await rspamd.kill();
    keys = [again, k2, e3, foreign];
    const hasty = await make('1s');
    await signer.close?.();
    expect(await hasty.deliver(keyring(domain, 4, [k2, e3, again], { others: [other(k1, 'removed')] }))).toMatchObject({
      kind: 'pending',
    });
    await rspamd.start();
    expect(await hasty.deliver(keyring(domain, 4, [k2, e3, again], { others: [other(k1, 'removed')] }))).toEqual(
      acknowledged(4),
    );
    await signsWith('s1');
    await hasty.close?.();
    signer = await make();
    expect(await signer.deliver(keyring(domain, 3, [k2]))).toEqual(acknowledged(4));
  });

  test('what somebody wrote into the map is a change; what is gone is a loss', async () => {
    const now = keyring(domain, 4, [k2, e3, again], { others: [other(k1, 'removed')] });
    const before = readFileSync(map(), 'utf8');
    writeFileSync(map(), before.replace(`${domain} s1`, `${domain} hand`));
    expect(await signer.inspect?.(now)).toMatchObject({ kind: 'changed' });
    expect(await signer.deliver(now)).toMatchObject({ kind: 'drifted' });
    expect((await signer.found?.(domain))?.map(({ selector }) => selector)).toEqual(['hand']);
    writeFileSync(map(), '');
    expect(await signer.inspect?.(now)).toMatchObject({ kind: 'lost' });
    expect(await signer.deliver(now)).toEqual(acknowledged(4));
    await signsWith('s1');
  });

  test('a folder that cannot be written fails in words, and rspamd signs as before', async () => {
    // Root writes anywhere: a file where the folder should be stops it as well.
    const blocked = dir.join('blocked');
    writeFileSync(blocked, '');
    chmodSync(blocked, 0o400);
    mkdirSync(dir.join('other-state'));
    const settings = {
      keys: `${blocked}/dkim`,
      selectorMap: map(),
      timeout: '1s',
      test: { url: rspamd.url },
    };
    const stuck = await rspamdFiles.create(rspamdFiles.settings.parse(settings), dependencies(dir.join('other-state')));
    const before = readFileSync(map(), 'utf8');
    const result = await stuck.deliver(keyring(domain, 9, [k2], { overwrite: true }));
    expect(result).toMatchObject({ kind: 'failed', message: expect.stringContaining(blocked) });
    expect(readFileSync(map(), 'utf8')).toBe(before);
    await signsWith('s1');
    await stuck.close?.();
  });

  test('no private key in any log', () => {
    const written = [needs.lines.join('\n'), rspamd.output()].join('\n');
    for (const secret of secretsOf([k1, ...keys])) expect(written).not.toContain(secret);
  });
});
