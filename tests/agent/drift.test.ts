import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { mark } from '../../src/control/operations.ts';
import { systemClock } from '../../src/lifecycle/clock.ts';
import { openMemoryStore } from '../../src/store/open.ts';
import { waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { activate, addActiveDomain, startControl, startSceneAgent, token } from './scene.ts';

const dir = tempDir('agent-drift');
afterAll(() => dir.remove());
const domain = 'ours.test';

test('what somebody changes at a signer elsewhere is shown at the control plane and restored from there; what is lost is put back', async () => {
  await using store = await openMemoryStore();
  await addActiveDomain(store, domain);
  await using control = await startControl(store, { signers: [{ kind: 'agent', name: 'mx1', token }] });
  const table = dir.join('table');
  const files = {
    kind: 'files',
    name: 'mta',
    path: `${dir.path}/keys/{domain}/{selector}.{fingerprint}.pem`,
    tables: [{ path: table, key: '{domain} {selector} {file}' }],
  };
  const more = { signers: [files], inspectEvery: '1s' };
  await using mx1 = await startSceneAgent(dir, 'mx1', { url: control.url, token }, { more });
  const signer = async () => (await store.snapshot(domain))?.snapshot.signers[0];
  const acknowledges = (generation: number) =>
    waitFor(
      async () => (await signer())?.acknowledgedGeneration === generation && (await signer())?.drift === undefined,
      {
        what: `generation ${generation}; ${mx1.log.text()}`,
      },
    );
  const read = () => readFileSync(table, 'utf8');
  await acknowledges(1);
  const delivered = read();
  expect(delivered).toMatch(/^ours\.test s1 .*\.pem$/m);

  rmSync(table);
  await waitFor(() => read() === delivered, { what: 'the table to be put back' });
  await acknowledges(1);

  const changed = delivered.replace('ours.test s1 ', 'ours.test theirs ');
  writeFileSync(table, changed);
  await waitFor(async () => (await signer())?.drift !== undefined, { what: 'the change to be told of' });
  expect((await signer())?.drift?.message).toMatch(/^mta: .*ours\.test/);
  // It stays as somebody left it, also through another rotation, of which the milter beside it takes part.
  await activate(store, domain, 's2');
  await waitFor(() => mx1.agent.status().troubles.length > 0, { what: 'the agent to know of it' });
  expect(read()).toBe(changed);

  const operator = { store, clock: systemClock, actor: { name: 'test', source: 'cli' } } as const;
  await mark(operator, domain, { kind: 'drift-restored', signerId: 'mx1' });
  await waitFor(() => /^ours\.test s2 .*\.pem$/m.test(read()), { what: 'the table to be restored' });
  await acknowledges(2);
  expect(read()).not.toContain('theirs');
  expect(mx1.log.text()).not.toContain('PRIVATE KEY');
});
