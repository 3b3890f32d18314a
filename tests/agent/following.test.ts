import { afterAll, describe, expect, test } from 'vitest';
import { mark } from '../../src/control/operations.ts';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { openMemoryStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { activate, addActiveDomain, sendThrough, signaturesOf, startControl, startSceneAgent, token } from './scene.ts';

const dir = tempDir('following');
afterAll(() => dir.remove());
let folders = 0;
const folder = () => `agent-${folders++}`;

const operator = (store: Store) => ({ store, clock: systemClock, actor: { name: 'test', source: 'cli' } }) as const;
const signerOf = async (store: Store, domain: string, id = 'mx1') =>
  (await store.snapshot(domain))?.snapshot.signers.find((signer) => signer.id === id);
const acknowledged = (store: Store, domain: string, generation: number, id = 'mx1') =>
  waitFor(async () => (await signerOf(store, domain, id))?.acknowledgedGeneration === generation, {
    within: 10_000,
    what: `${id} to acknowledge generation ${generation} of ${domain}`,
  });
const keysOf = async (store: Store, domain: string) => (await store.snapshot(domain))?.snapshot.keys ?? [];

describe('an agent', () => {
  test('gets its domains and no others, and is believed about no others', async () => {
    await using store = await openMemoryStore();
    await addActiveDomain(store, 'ours.test');
    await addActiveDomain(store, 'theirs.test');
    const signs = { domains: ['ours.test'] };
    await using control = await startControl(store, { signers: [{ kind: 'agent', name: 'mx1', token, signs }] });
    await using mx1 = await startSceneAgent(dir, folder(), { url: control.url, token });
    await acknowledged(store, 'ours.test', 1);
    expect(signaturesOf(await sendThrough(mx1, 'ours.test'))).toHaveLength(1);
    expect(signaturesOf(await sendThrough(mx1, 'theirs.test'))).toEqual([]);
    expect(mx1.agent.status()).toMatchObject({ name: 'mx1', connection: 'up', domains: 1, behind: 0 });
    // The test message of its key has been signed and told of.
    await waitFor(async () => (await keysOf(store, 'ours.test'))[0]?.signaturesSeen.mx1 !== undefined, {
      what: 'the key to have been tried',
    });
    const headers = { authorization: `Bearer ${token}`, 'keyturn-boot': '0d2f5b3e-3e0a-4c1e-9c59-111111111111' };
    const report = { kind: 'acknowledged', domain: 'theirs.test', born: null, generation: 7 };
    const asAnother = await fetch(`${control.url}/agent/v1/reports`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ reports: [report] }),
    });
    expect(asAnother.status).toBe(428);
    expect(await signerOf(store, 'theirs.test')).toBeUndefined();
  });

  test('takes up what changes, new domains, and domains that leave', async () => {
    await using store = await openMemoryStore();
    await addActiveDomain(store, 'first.test');
    const control = await startControl(store, { signers: [{ kind: 'agent', name: 'mx1', token }] });
    await using mx1 = await startSceneAgent(dir, folder(), { url: control.url, token });
    await acknowledged(store, 'first.test', 1);

    await addActiveDomain(store, 'second.test');
    await acknowledged(store, 'second.test', 1);
    expect(signaturesOf(await sendThrough(mx1, 'second.test'))).toHaveLength(1);

    // Another key takes the first one's place.
    await activate(store, 'first.test', 's2');
    await acknowledged(store, 'first.test', 2);
    const signed = signaturesOf(await sendThrough(mx1, 'first.test'));
    expect(signed.map((signature) => /;s=([^;]+);/.exec(signature)?.[1])).toEqual(['s2']);

    // Its entry does not name the domain any more, and an operator lets it go: that domain's mail passes as it was before.
    await control.stop();
    const narrower = [{ kind: 'agent', name: 'mx1', token, signs: { domains: ['first.test'] } }];
    await using _narrower = await startControl(store, { signers: narrower, port: control.port });
    expect(signaturesOf(await sendThrough(mx1, 'second.test'))).toHaveLength(1);
    await mark(operator(store), 'second.test', { kind: 'signer-removed', signerId: 'mx1' });
    await waitFor(async () => (await sendThrough(mx1, 'second.test')).added.length === 0, {
      what: 'second.test to be forgotten',
    });
    expect(await sendThrough(mx1, 'second.test')).toMatchObject({ verdict: 'accepted' });
  });

  test('signs on when its entry is gone, and says why it hears nothing', async () => {
    await using store = await openMemoryStore();
    await addActiveDomain(store, 'ours.test');
    const signers = [{ kind: 'agent', name: 'mx1', token }];
    const control = await startControl(store, { signers });
    await using mx1 = await startSceneAgent(dir, folder(), { url: control.url, token });
    await acknowledged(store, 'ours.test', 1);
    await control.stop();
    await using later = await startControl(store, {
      port: control.port,
      signers: [{ kind: 'agent', name: 'mx2', token: `${token}-of-another` }],
    });
    await waitFor(() => mx1.log.text().includes('its entry under signers: was removed'), {
      within: 10_000,
      what: 'the agent to say so',
    });
    expect(later.log.told.find(({ event }) => event === 'agent-refused')?.fields.why).toContain(
      'no agent of this token',
    );
    expect(signaturesOf(await sendThrough(mx1, 'ours.test'))).toHaveLength(1);
    expect(mx1.agent.status()).toMatchObject({ connection: 'down' });
    expect(mx1.agent.status().trouble).toContain('no agent of this token');
  });

  test('forgets nothing because a control plane without its domains answers', async () => {
    const dirName = folder();
    let port: number;
    {
      await using store = await openMemoryStore();
      await addActiveDomain(store, 'ours.test');
      await using control = await startControl(store, { signers: [{ kind: 'agent', name: 'mx1', token }] });
      port = control.port;
      await using _mx1 = await startSceneAgent(dir, dirName, { url: control.url, token });
      await acknowledged(store, 'ours.test', 1);
    }
    await using empty = await openMemoryStore();
    await using control = await startControl(empty, { port, signers: [{ kind: 'agent', name: 'mx1', token }] });
    await using mx1 = await startSceneAgent(dir, dirName, { url: control.url, token });
    await waitFor(() => mx1.log.has('control-reached'), { what: 'the agent to be greeted' });
    expect(mx1.log.told.find(({ event }) => event === 'domains-unknown')?.fields.domains).toEqual(['ours.test']);
    expect(signaturesOf(await sendThrough(mx1, 'ours.test'))).toHaveLength(1);
  });

  test('opens no socket before it has all its keyrings, and opens at once with those it had', async () => {
    const dirName = folder();
    await using store = await openMemoryStore();
    await addActiveDomain(store, 'ours.test');
    const signers = [{ kind: 'agent', name: 'mx1', token }];
    const control = await startControl(store, { signers });
    await control.stop();
    await using alone = await startSceneAgent(dir, dirName, { url: control.url, token });
    await waitFor(() => alone.log.has('control-not-reached'), { what: 'the first attempt' });
    expect(alone.agent.endpoints).toEqual([]);
    {
      await using _back = await startControl(store, { signers, port: control.port });
      await acknowledged(store, 'ours.test', 1);
      expect(alone.agent.endpoints).toHaveLength(1);
      await alone.agent.stop();
    }
    await using again = await startSceneAgent(dir, dirName, { url: control.url, token });
    expect(signaturesOf(await sendThrough(again, 'ours.test'))).toHaveLength(1);
  });

  test('begins anew where the journal is another one, and tells a store that was put back what it has', async () => {
    const dirName = folder();
    await using store = await openMemoryStore();
    await addActiveDomain(store, 'ours.test');
    const signers = [{ kind: 'agent', name: 'mx1', token }];
    await using control = await startControl(store, { signers });
    {
      await using _mx1 = await startSceneAgent(dir, dirName, { url: control.url, token });
      await acknowledged(store, 'ours.test', 1);
    }
    // A later generation than the store's: as if the store had been put back from a backup meanwhile.
    const stored = await store.snapshot('ours.test');
    if (stored === null) throw new Error('gone');
    const { snapshot: before, version } = stored;
    const older = { ...before.domain, generation: 0 };
    const signer = before.signers.map((each) => ({ ...each, acknowledgedGeneration: 0 }));
    await store.commit(
      { name: 'ours.test', version },
      { before, after: { ...before, domain: older, signers: signer }, events: [] },
    );
    await using mx1 = await startSceneAgent(dir, dirName, { url: control.url, token });
    await waitFor(async () => ((await store.snapshot('ours.test'))?.snapshot.domain.generation ?? 0) === 2, {
      within: 10_000,
      what: 'the store to go on from what the agent has',
    });
    await acknowledged(store, 'ours.test', 2);
    expect(signaturesOf(await sendThrough(mx1, 'ours.test'))).toHaveLength(1);
    const response = await fetch(`${control.url}/agent/v1/changes?since=99999.0123456789abcdef`, {
      headers: { authorization: `Bearer ${token}`, 'keyturn-boot': '0d2f5b3e-3e0a-4c1e-9c59-111111111111' },
    });
    expect(response.status).toBe(428);
  });

  test('goes to another instance of the control plane when one is gone, and is known there', async () => {
    await using store = await openMemoryStore();
    await addActiveDomain(store, 'ours.test');
    const signers = [{ kind: 'agent', name: 'mx1', token }];
    const one = await startControl(store, { signers });
    await using two = await startControl(store, { signers });
    await using mx1 = await startSceneAgent(dir, folder(), { url: [one.url, two.url], token });
    await acknowledged(store, 'ours.test', 1);
    await one.stop();
    await activate(store, 'ours.test', 's2');
    await acknowledged(store, 'ours.test', 2);
    expect(two.log.has('agent-name-taken')).toBe(false);
    expect(signaturesOf(await sendThrough(mx1, 'ours.test'))).toHaveLength(1);
  });

  test('is given nothing from a store that is not trusted', async () => {
    await using store = await openMemoryStore();
    await addActiveDomain(store, 'ours.test');
    let trusted = false;
    const signers = [{ kind: 'agent', name: 'mx1', token }];
    await using control = await startControl(store, { signers, mayServe: () => trusted });
    await using mx1 = await startSceneAgent(dir, folder(), { url: control.url, token });
    await waitFor(() => mx1.log.text().includes('not sure of its store'), { what: 'the agent to be told' });
    expect(mx1.agent.endpoints).toEqual([]);
    trusted = true;
    await acknowledged(store, 'ours.test', 1);
  });

  test('whose milter cannot open its socket ends, and says which', async () => {
    await using store = await openMemoryStore();
    await addActiveDomain(store, 'ours.test');
    await using control = await startControl(store, { signers: [{ kind: 'agent', name: 'mx1', token }] });
    const more = { milter: { listen: ['unix:/nowhere/at/all.sock'] } };
    await using mx1 = await startSceneAgent(dir, folder(), { url: control.url, token }, { more });
    await expect(mx1.agent.ended).rejects.toThrow('/nowhere/at/all.sock');
    // Nothing counts on what never signed: it has acknowledged nothing.
    expect((await signerOf(store, 'ours.test'))?.acknowledgedGeneration).toBe(0);
  });
});

describe('two agents of one name', () => {
  test('the second is refused while the first lives, both sides say so, and it does not sign', async () => {
    await using store = await openMemoryStore();
    await addActiveDomain(store, 'ours.test');
    await using control = await startControl(store, { signers: [{ kind: 'agent', name: 'mx1', token }], lease: 1000 });
    await using first = await startSceneAgent(dir, folder(), { url: control.url, token });
    await acknowledged(store, 'ours.test', 1);
    await using second = await startSceneAgent(dir, folder(), { url: control.url, token });
    await expect(second.agent.ended).rejects.toThrow(/an agent on .* runs as mx1 .* stop one of the two/);
    expect(second.agent.endpoints).toEqual([]);
    expect(control.log.told.find(({ event }) => event === 'agent-name-taken')?.fields).toMatchObject({ agent: 'mx1' });
    expect(signaturesOf(await sendThrough(first, 'ours.test'))).toHaveLength(1);
    expect(first.agent.status().connection).toBe('up');
  });

  test('in one folder are refused at once', async () => {
    await using store = await openMemoryStore();
    await using control = await startControl(store, { signers: [{ kind: 'agent', name: 'mx1', token }] });
    const name = folder();
    await using _first = await startSceneAgent(dir, name, { url: control.url, token });
    await expect(startSceneAgent(dir, name, { url: control.url, token })).rejects.toThrow('another agent runs in');
  });

  test('one that lost its name with keyrings in its folder does not sign after a restart until it has been greeted', async () => {
    await using store = await openMemoryStore();
    await addActiveDomain(store, 'ours.test');
    await using control = await startControl(store, { signers: [{ kind: 'agent', name: 'mx1', token }], lease: 1000 });
    const name = folder();
    const copy = folder();
    {
      await using _once = await startSceneAgent(dir, copy, { url: control.url, token });
      await acknowledged(store, 'ours.test', 1);
    }
    await using first = await startSceneAgent(dir, name, { url: control.url, token });
    await waitFor(() => first.agent.status().connection === 'up', { what: 'the first to be greeted' });
    {
      await using second = await startSceneAgent(dir, copy, { url: control.url, token });
      await expect(second.agent.ended).rejects.toThrow('runs as mx1');
    }
    await using again = await startSceneAgent(dir, copy, { url: control.url, token });
    expect(again.agent.endpoints).toEqual([]);
    await first.agent.stop();
    await waitFor(() => again.agent.endpoints.length === 1, { within: 10_000, what: 'the name to be free' });
    expect(signaturesOf(await sendThrough(again, 'ours.test'))).toHaveLength(1);
  });
});
