import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { need, needRoot } from '../support/need.ts';
import { startPostfix } from '../support/postfix.ts';
import { waitFor } from '../support/processes.ts';
import { tempDir } from '../support/temp.ts';
import { needDkimpy, needMailDkim } from '../support/verifiers.ts';
import { startFlow } from './flow.ts';
import { openDkimFolder } from './opendkim-process.ts';

const here = [
  need('opendkim', 'opendkim'),
  need('postfix', 'postfix'),
  needDkimpy(),
  needMailDkim(),
  needRoot('Postfix'),
].every(Boolean);

describe.skipIf(!here)('Postfix, OpenDKIM and `keyturn serve`', () => {
  test('a rotation under mail, OpenDKIM killed at the switch: nothing unsigned, nothing that does not verify', async () => {
    using dir = tempDir('opendkim-rotation');
    const folder = openDkimFolder(dir);
    let opendkim = await folder.start();
    const { keys, keyTable, signingTable, pidFile, milter } = folder;
    await using flow = await startFlow({
      dir,
      signer: {
        ...{ kind: 'opendkim', keys, keyTable, signingTable },
        reload: { signal: 'SIGUSR1', pidFile, program: 'opendkim' },
        test: { milter, timeout: '2s' },
      },
      policy: { keys: ['2 x rsa-2048'] },
      signatures: 2,
    });
    const { tally, server } = flow;
    await using postfix = await startPostfix({ milters: [milter], nextHop: flow.sink.port });
    let finished = false;
    try {
      await flow.begin(2, 1);
      const old = await flow.keys('active');
      const sending = flow.send(postfix.port, () => finished);
      sending.catch(() => undefined);
      await waitFor(() => tally.arrived >= 10, { what: 'mail to flow' });
      const before = statSync(signingTable).ino;
      await flow.rotate();
      await waitFor(() => statSync(signingTable).ino !== before, { within: 30_000, every: 2, what: 'the switch' });
      opendkim.kill('SIGKILL');
      await opendkim.exited;
      await sleep(700);
      opendkim = await folder.start();
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
      await flow.settle(await sending);
      const { unsigned, short, failures, passed, putOff } = tally;
      expect({ unsigned, short, failures: [...failures] }).toEqual({ unsigned: 0, short: 0, failures: [] });
      expect(putOff).toBeGreaterThan(0);
      const now = await flow.keys('active');
      for (const selector of [...old, ...now]) expect(passed.get(selector), selector).toBeGreaterThan(0);
      expect(server.output()).not.toContain('PRIVATE KEY');
    } finally {
      finished = true;
      await opendkim.stop();
    }
  });
});
