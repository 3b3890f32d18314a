/** The signer `ses` against a server that checks signatures of requests, verifies keys by DNS, and throttles, as Amazon's does. */
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mark } from '../../src/control/operations.ts';
import { generateKeyPair } from '../../src/dkim/key-pair.ts';
import type { Keyring } from '../../src/signers/keyring.ts';
import { sesKind } from '../../src/signers/ses/kind.ts';
import type { Signer } from '../../src/signers/signer.ts';
import { type SesServer, startSes } from '../support/ses-server.ts';
import { type TempDir, tempDir } from '../support/temp.ts';
import { active, createSignerScene, dependencies, domainName, settled } from './scene.ts';

const credentials = {
  region: 'eu-central-1',
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfi',
};
const clock = { now: () => Date.UTC(2026, 10, 24) };

let ses: SesServer;
let dir: TempDir;
const lines: string[] = [];
beforeEach(async () => {
  lines.length = 0;
  ses = await startSes(credentials);
  dir = tempDir('ses');
});
afterEach(async () => {
  await ses[Symbol.asyncDispose]();
  dir.remove();
});

const make = (
  settings: Record<string, unknown> = {},
  now: { now(): number } = clock,
  instance = '.',
): Promise<Signer> =>
  sesKind.create(
    sesKind.settings.parse({ ...credentials, endpoint: ses.url, createIdentities: true, ...settings }),
    dependencies(dir.join(instance), now, lines),
  );

async function ring(selector: string, generation: number, bits: 2048 | 4096 = 2048): Promise<Keyring> {
  const { privateKey } = await generateKeyPair({ algorithm: 'rsa', bits });
  const key = { selector, algorithm: 'rsa-sha256', privateKey, entered: generation } as const;
  return { domain: domainName, generation, mustSign: true, streams: { default: [key] }, others: [] };
}

/** SES sees in DNS whatever it was given. */
function dnsOf(): Map<string, string> {
  return new Map(
    [...ses.identities].map(([domain, { selector, publicKey }]) => [
      `${selector}._domainkey.${domain}`,
      `v=DKIM1; p=${publicKey}`,
    ]),
  );
}

test('a whole rotation: a key counts once SES has seen its record itself, and the old record stands until then', async () => {
  await using scene = await createSignerScene((now) => make({}, now));
  await scene.add();
  let looks = 0;
  const each = async () => {
    // SES looks at DNS now and then.
    if (++looks % 7 === 0) ses.lookAtDns(scene.records);
    const identity = ses.identities.get(domainName);
    if (identity?.status === 'SUCCESS')
      expect(scene.records.get(`${identity.selector}._domainkey.${domainName}`)).toContain(identity.publicKey);
  };
  const [old] = active(await scene.until(settled, each));
  expect(ses.identities.get(domainName)).toMatchObject({
    origin: 'EXTERNAL',
    status: 'SUCCESS',
    selector: old?.selector,
  });
  await mark(scene.operator, domainName, { kind: 'rotation-requested', stream: 'default' });
  const handed = await scene.until(() => ses.identities.get(domainName)?.selector !== old?.selector);
  // While SES looks for the new record the old key is still active, and its record stands.
  expect(active(handed).map(({ id }) => id)).toContain(old?.id);
  expect(ses.identities.get(domainName)?.status).toBe('PENDING');
  await scene.until((snapshot) => settled(snapshot) && active(snapshot)[0]?.id !== old?.id, each);
  const end = await scene.until(
    (snapshot) => snapshot.keys.find(({ id }) => id === old?.id)?.state === 'removed',
    each,
  );
  expect(end.conditions.filter(({ severity }) => severity !== 'info')).toEqual([]);
  // One call a key: nothing is handed over twice while SES is looking.
  const puts = ses.calls.filter((call) => call.startsWith('PUT') || call.startsWith('POST'));
  expect(puts).toEqual(['POST /v2/email/identities', `PUT /v1/email/identities/${domainName}/dkim/signing`]);
  expectNoSecrets();
});

describe('a key', () => {
  test('is pending until SES says SUCCESS, failed when it gave up, and handed over again then', async () => {
    const signer = await make();
    const keyring = await ring('s1', 3);
    expect((await signer.deliver(keyring)).kind).toBe('pending');
    expect((await signer.selfTest(domainName, 'default', 's1')).kind).toBe('failed');
    expect((await signer.deliver(keyring)).kind).toBe('pending');
    const identity = ses.identities.get(domainName);
    if (identity === undefined) throw new Error('no identity');
    identity.status = 'FAILED';
    expect((await signer.inspect?.(keyring))?.kind).toBe('lost');
    expect((await signer.deliver(keyring)).kind).toBe('pending');
    ses.lookAtDns(dnsOf());
    expect(await signer.deliver(keyring)).toEqual({ kind: 'acknowledged', generation: 3 });
    expect(await signer.selfTest(domainName, 'default', 's1')).toEqual({ kind: 'signed' });
    expect(await signer.inspect?.(keyring)).toEqual({ kind: 'as-delivered' });
    // Over a restart it takes nothing older, and asks nothing for it.
    const again = await make();
    expect(await again.deliver(await ring('s0', 2))).toEqual({ kind: 'acknowledged', generation: 3 });
    expect(ses.identities.get(domainName)?.selector).toBe('s1');
  });

  test('longer than SES takes is refused before SES is asked to', async () => {
    const signer = await make();
    const answer = await signer.deliver(await ring('s1', 1, 4096));
    expect(answer).toMatchObject({ kind: 'failed', message: expect.stringContaining('rsa-2048') });
    expect(ses.identities.size).toBe(0);
  });

  test('that verified already is taken over without a write, state file or not', async () => {
    const keyring = await ring('s1', 3);
    await (await make()).deliver(keyring);
    ses.lookAtDns(dnsOf());
    for (const file of readdirSync(dir.path)) expect(file).toContain(domainName);
    dir.remove();
    ses.calls.length = 0;
    expect(await (await make()).deliver(keyring)).toEqual({ kind: 'acknowledged', generation: 3 });
    expect(ses.calls.every((call) => call.startsWith('GET'))).toBe(true);
  });
});

describe("somebody else's set-up", () => {
  test('Easy DKIM that signs is left alone until it was decided; one that never verified may go', async () => {
    const easy = { origin: 'AWS_SES', status: 'SUCCESS', enabled: true, selector: '', publicKey: '' } as const;
    ses.identities.set(domainName, { ...easy });
    const signer = await make();
    const keyring = await ring('s1', 1);
    expect(await signer.deliver(keyring)).toMatchObject({
      kind: 'drifted',
      message: expect.stringContaining('Easy DKIM'),
    });
    expect(ses.identities.get(domainName)).toEqual(easy);
    expect((await signer.deliver({ ...keyring, overwrite: true })).kind).toBe('pending');
    ses.identities.set(domainName, { ...easy, status: 'NOT_STARTED' });
    expect((await (await make()).deliver(await ring('s2', 2))).kind).toBe('pending');
  });

  test('a change by hand is told from a loss', async () => {
    const signer = await make();
    const keyring = await ring('s1', 1);
    await signer.deliver(keyring);
    ses.lookAtDns(dnsOf());
    await signer.deliver(keyring);
    const identity = ses.identities.get(domainName);
    if (identity === undefined) throw new Error('no identity');
    identity.enabled = false;
    expect((await signer.inspect?.(keyring))?.kind).toBe('changed');
    identity.enabled = true;
    identity.selector = 'theirs';
    expect((await signer.inspect?.(keyring))?.kind).toBe('changed');
    expect((await signer.deliver({ ...keyring, generation: 2 })).kind).toBe('drifted');
    expect(await signer.found?.(domainName)).toEqual([{ selector: 'theirs', privateKey: null, inUse: true }]);
    ses.identities.delete(domainName);
    expect((await signer.inspect?.(keyring))?.kind).toBe('lost');
  });
});

test('a domain that leaves is no longer signed with a key that will be withdrawn, and what is not ours is left', async () => {
  const signer = await make();
  const keyring = await ring('s1', 1);
  await signer.deliver(keyring);
  ses.lookAtDns(dnsOf());
  await signer.deliver(keyring);
  await signer.forget(domainName);
  expect(ses.identities.get(domainName)).toMatchObject({ enabled: false, selector: 's1' });
  // An instance that did not hand it over is told which keys are ours.
  const other = await make({}, clock, 'other');
  expect(ses.identities.get(domainName)?.enabled).toBe(false);
  await other.deliver(keyring);
  await (await make({}, clock, 'third')).forget(domainName);
  expect(ses.identities.get(domainName)?.enabled).toBe(true);
  await (await make({}, clock, 'third')).forget(domainName, [{ selector: 's1', publicKey: 'AAAA', state: 'retiring' }]);
  expect(ses.identities.get(domainName)?.enabled).toBe(false);
  // It may come back.
  expect(await signer.deliver(keyring)).toEqual({ kind: 'acknowledged', generation: 1 });
  const identity = ses.identities.get(domainName);
  expect(identity?.enabled).toBe(true);
  if (identity !== undefined) identity.selector = 'theirs';
  await signer.forget(domainName);
  expect(ses.identities.get(domainName)).toMatchObject({ enabled: true, selector: 'theirs' });
});

describe('trouble', () => {
  test('throttling and failures of SES are waited out', async () => {
    const signer = await make();
    ses.throttle = 1;
    ses.fail = 1;
    expect((await signer.deliver(await ring('s1', 1))).kind).toBe('pending');
  });

  test('wrong credentials, missing rights, a missing identity and silence are said with what to do', async () => {
    const said = async (settings: Record<string, unknown>) => {
      const answer = await (await make(settings)).deliver(await ring('s1', 1));
      return answer.kind === 'failed' ? answer.message : answer.kind;
    };
    expect(await said({ secretAccessKey: 'not-the-secret' })).toContain('InvalidSignatureException');
    expect(await said({ accessKeyId: 'AKIDOTHER' })).toContain('UnrecognizedClientException');
    expect(await said({ region: 'us-east-1' })).toContain('scoped to eu-central-1/ses');
    expect(await said({ createIdentities: false })).toContain('createIdentities: true');
    ses.denied.add('ses:CreateEmailIdentity');
    expect(await said({})).toContain('Allow these actions');
    expect(await said({ endpoint: 'http://127.0.0.1:9', timeout: '1s' })).toContain('cannot be asked');
    expect(ses.identities.size).toBe(0);
    expectNoSecrets('not-the-secret');
  });
});

function expectNoSecrets(...more: string[]): void {
  const files = readdirSync(dir.path).map((file) => readFileSync(dir.join(file), 'utf8'));
  const written = [...lines, ...files].join('\n').replaceAll(/"publicKey":"[^"]*"/g, '');
  for (const secret of [credentials.secretAccessKey, 'PRIVATE KEY', 'MII', ...more])
    expect(written).not.toContain(secret);
}
