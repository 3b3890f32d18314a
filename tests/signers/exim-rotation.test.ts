import { chmodSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { eximUser, needExim, startExim } from '../support/exim.ts';
import { freePort } from '../support/ports.ts';
import { waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { needDkimpy, needMailDkim } from '../support/verifiers.ts';
import { documentedLines } from './exim-lines.ts';
import { startFlow } from './flow.ts';

const recipient = 'keyturn-test@loop.test';

describe.skipIf(![needExim(), needDkimpy(), needMailDkim()].every(Boolean))('Exim and `keyturn serve`', () => {
  test('a rotation under mail, RSA and Ed25519 together: nothing unsigned, nothing that does not verify', async () => {
    using dir = tempDir('exim-rotation');
    chmodSync(dir.path, 0o755);
    const folder = dir.join('exim');
    const [smtp, loop] = [await freePort(), await freePort()];
    await using flow = await startFlow({
      dir,
      signer: {
        kind: 'exim',
        folder,
        group: String(eximUser),
        test: { smtp: `127.0.0.1:${smtp}`, listen: `127.0.0.1:${loop}`, recipient, timeout: '3s' },
      },
      policy: { keys: ['rsa-2048', 'ed25519'] },
      signatures: 2,
    });
    const { tally, server } = flow;
    await using exim = await startExim({
      dkim: documentedLines(folder),
      routes: { [recipient]: loop },
      nextHop: flow.sink.port,
      port: smtp,
    });
    let finished = false;
    try {
      await flow.begin(2, 2);
      const old = await flow.keys('active');
      const sending = flow.send(exim.port, () => finished);
      sending.catch(() => undefined);
      await waitFor(() => tally.arrived >= 10, { what: `mail to flow; ${exim.log().slice(-1000)}` });
      await flow.rotate();
      await waitFor(
        async () => {
          const removed = await flow.keys('removed');
          return old.every((selector) => removed.includes(selector));
        },
        { within: 40_000, every: 300, what: `the old keys to be removed; ${server.output().slice(-3000)}` },
      );
      const enough = tally.arrived + 10;
      await waitFor(() => tally.arrived >= enough, { what: 'more mail to flow' });
      finished = true;
      const taken = await sending;
      await exim.runQueue();
      await flow.settle(taken);
      const { unsigned, short, failures, passed } = tally;
      expect({ unsigned, short, failures: [...failures] }).toEqual({ unsigned: 0, short: 0, failures: [] });
      for (const selector of [...old, ...(await flow.keys('active'))])
        expect(passed.get(selector), selector).toBeGreaterThan(0);
      expect(server.output()).not.toContain('PRIVATE KEY');
    } finally {
      finished = true;
    }
  });
});
