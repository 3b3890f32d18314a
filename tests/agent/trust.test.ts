import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pinOfFile } from '../../src/control/agent/follow/link.ts';
import { openMemoryStore } from '../../src/store/open.ts';
import { need } from '../support/need.ts';
import { runOk, waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { type Authority, authority, type Pair, selfSigned } from './certificates.ts';
import { addActiveDomain, type Control, type SceneAgent, startControl, startSceneAgent, token } from './scene.ts';

/** Who is believed by whom, over TLS; and what is said where it is not. */
describe.skipIf(!need('openssl', 'openssl'))('trust', () => {
  const dir = tempDir('trust');
  let folders = 0;
  let own: Pair;
  let stranger: Pair;
  let ours: Authority;
  let theirs: Authority;

  beforeAll(async () => {
    [own, stranger, ours, theirs] = await Promise.all([
      selfSigned(dir, 'localhost'),
      selfSigned(dir, 'stranger'),
      authority(dir, 'ours'),
      authority(dir, 'theirs'),
    ]);
  });
  afterAll(() => dir.remove());

  const serve = async (
    tls: object,
    entry: object = { token },
  ): Promise<Control & { [Symbol.asyncDispose](): Promise<void> }> => {
    const store = await openMemoryStore();
    await addActiveDomain(store, 'ours.test');
    const control = await startControl(store, { tls, signers: [{ kind: 'agent', name: 'mx1', ...entry }] });
    return {
      ...control,
      async [Symbol.asyncDispose]() {
        await control.stop();
        await store.close();
      },
    };
  };
  const agent = (control: object): Promise<SceneAgent> => startSceneAgent(dir, `agent-${folders++}`, control);
  /** Follows, and has opened its milter; or what it says instead. */
  async function becomes(control: object): Promise<string> {
    await using its = await agent(control);
    await waitFor(() => its.agent.endpoints.length > 0 || its.log.has('control-not-reached'), {
      what: 'the agent to know',
    });
    if (its.agent.endpoints.length > 0) return 'follows';
    const told = its.log.told.find(({ event }) => event === 'control-not-reached');
    expect(its.agent.status()).toMatchObject({ connection: 'down', milter: [] });
    return `${told?.level}: ${String(told?.fields.why)}`;
  }

  test('by the pinned key of the certificate, however that is signed', async () => {
    await using control = await serve(own);
    const { url } = control;
    expect(await becomes({ url, token, pin: pinOfFile(own.cert) })).toBe('follows');
    expect(await becomes({ url, token, pin: [pinOfFile(stranger.cert), pinOfFile(own.cert)] })).toBe('follows');
    const requests = () => control.log.told.filter(({ event }) => /greeted|refused|taken/.test(event)).length;
    const before = requests();
    const wrong = await becomes({ url, token, pin: pinOfFile(stranger.cert) });
    expect(wrong).toContain('error: The server at 127.0.0.1 shows a certificate with the key');
    expect(wrong).toContain(pinOfFile(own.cert));
    expect(wrong).toContain('Nothing was sent to it');
    // Not even a failed attempt: no word was said.
    expect(before).toBeGreaterThan(0);
    expect(requests()).toBe(before);
  });

  test('by an authority; not one that is unknown, nor for another name, nor beyond its time', async () => {
    await using control = await serve(await ours.issue('localhost'));
    const url = control.url.replace('127.0.0.1', 'localhost');
    expect(await becomes({ url, token, ca: ours.cert })).toBe('follows');
    expect(await becomes({ url, token, ca: theirs.cert })).toMatch(
      /error: .*an authority that this machine does not know.*control\.ca/,
    );
    expect(await becomes({ url, token })).toMatch(/an authority that this machine does not know/);
    await using another = await serve(await ours.issue('elsewhere.test'));
    expect(await becomes({ url: another.url.replace('127.0.0.1', 'localhost'), token, ca: ours.cert })).toMatch(
      /its certificate is for another name than the one in control\.url/,
    );
    await using expired = await serve(await ours.issue('localhost', { days: -1 }));
    expect(await becomes({ url: expired.url, token, ca: ours.cert })).toMatch(/its certificate has expired: renew it/);
    await using itself = await serve(own);
    expect(await becomes({ url: itself.url, token })).toMatch(
      /signed by itself: name it by control\.pin or control\.ca/,
    );
  });

  test('by a token, and not by another', async () => {
    await using control = await serve(own);
    const pin = pinOfFile(own.cert);
    expect(await becomes({ url: control.url, token: `${token}x`, pin })).toMatch(
      /error: .*no agent of this token is known here.*enroll/,
    );
    expect(control.log.text()).toContain('agent-refused');
    expect(control.log.text()).not.toContain(token);
    // Twelve more: told of no longer, and still refused.
    const attempt = () => becomes({ url: control.url, token: `${token}y`, pin });
    for (let i = 0; i < 10; i++) await attempt();
    expect(await attempt()).toContain('Too many failed attempts');
    expect(control.log.told.filter(({ event }) => event === 'agent-refused').length).toBeLessThanOrEqual(10);
    expect(await becomes({ url: control.url, token, pin })).toBe('follows');
  });

  test('by a client certificate: its name from our authority, or its fingerprint; in its time', async () => {
    const pin = pinOfFile(own.cert);
    const named = { certificate: { name: 'mx1.test' } };
    await using control = await serve({ ...own, clientCa: ours.cert }, named);
    const { url } = control;
    const [mine, other, forged, old] = await Promise.all([
      ours.issue('mx1.test'),
      ours.issue('mx2.test'),
      theirs.issue('mx1.test'),
      ours.issue('mx1.test', { days: -1 }),
    ]);
    expect(await becomes({ url, pin, ...mine })).toBe('follows');
    expect(await becomes({ url, pin, ...other })).toContain('no agent of this certificate is known here');
    expect(await becomes({ url, pin, ...forged })).toContain('does not come from an authority in agents.tls.clientCa');
    expect(await becomes({ url, pin, ...old })).toContain('its certificate expired at');

    const fingerprint = (await runOk('openssl', ['x509', '-in', mine.cert, '-noout', '-fingerprint', '-sha256']))
      .split('=')[1]
      ?.trim();
    await using both = await serve(own, { token, certificate: { fingerprint } });
    expect(await becomes({ url: both.url, pin, token, ...mine })).toBe('follows');
    expect(await becomes({ url: both.url, pin, token })).toContain('this agent must show its certificate');
    expect(await becomes({ url: both.url, pin, token, ...other })).toContain('which is not the one in its entry');
    expect(await becomes({ url: both.url, pin, ...mine })).toContain('no agent of this certificate is known here');
  });
});
