/** The milter by a keyring file, as a process of its own would run it. */
import { generateKeyPairSync } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkMilter } from '../../src/signers/milter/check.ts';
import { connectMilter } from '../../src/signers/milter/client.ts';
import { runMilter, startStandaloneMilter } from '../../src/signers/milter/run.ts';
import { waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { message } from './support.ts';

const pem = { type: 'pkcs8', format: 'pem' } as const;
const privateKey = generateKeyPairSync('ed25519').privateKey.export(pem).toString();

function put(path: string, generation: number, selectors: readonly string[]): void {
  const keys = selectors.map((selector) => ({ selector, algorithm: 'ed25519-sha256', privateKey }));
  writeFileSync(`${path}.new`, JSON.stringify({ generation, domains: { 'example.com': { keys } } }), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

describe('a milter that runs alone', () => {
  it('signs by its file, and by the next one on the same connection', async () => {
    using dir = tempDir('standalone');
    const keyring = dir.join('keys.json');
    put(keyring, 1, ['a']);
    await using milter = await startStandaloneMilter({ keyring, listen: ['inet:127.0.0.1:0'] });
    using client = await connectMilter(milter.server.endpoints[0] ?? '');
    const selectors = async (): Promise<(string | undefined)[]> => {
      const { added } = await client.deliver(message('joe@example.com'));
      return added.map(({ value }) => /s=(\w+);/.exec(value)?.[1]);
    };
    expect(await selectors()).toEqual(['a']);
    put(keyring, 2, ['a', 'b']);
    await waitFor(() => milter.generation() === 2, { what: 'generation 2' });
    expect(await selectors()).toEqual(['a', 'b']);
    writeFileSync(keyring, '{"generation": 3, "domains": {');
    expect(await milter.reload()).toBe(false);
    expect(await selectors()).toEqual(['a', 'b']);
    put(keyring, 4, ['b']);
    await milter.reload();
    expect(await selectors()).toEqual(['b']);
  });

  it('runs until it is told to stop', async () => {
    using dir = tempDir('standalone');
    const keyring = dir.join('keys.json');
    put(keyring, 1, ['a']);
    const stop = new AbortController();
    const socket = `unix:${dir.join('m.sock')}`;
    const running = runMilter({ keyring, listen: [socket], stop: stop.signal });
    await waitFor(async () => (await checkMilter({ socket, from: 'joe@example.com' })).kind === 'signed', {
      what: 'a signature',
    });
    stop.abort();
    await running;
    await expect(checkMilter({ socket, from: 'joe@example.com' })).rejects.toThrow(socket);
  });

  it('does not start without a keyring or with a socket that cannot be had, and leaves nothing running', async () => {
    using dir = tempDir('standalone');
    const keyring = dir.join('keys.json');
    const missing = startStandaloneMilter({ keyring, listen: ['inet:127.0.0.1:0'] });
    await expect(missing).rejects.toThrow(`Reading the keyring ${keyring}`);
    put(keyring, 1, ['a']);
    const noSocket = startStandaloneMilter({ keyring, listen: [`unix:${dir.join('no', 'such', 'folder')}`] });
    await expect(noSocket).rejects.toThrow(dir.join('no', 'such', 'folder'));
  });
});
