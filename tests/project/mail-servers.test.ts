import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { startBind } from '../support/bind.ts';
import { need, needRoot } from '../support/need.ts';
import { startOpenDkim } from '../support/opendkim.ts';
import { startPostfix } from '../support/postfix.ts';
import { run, waitFor } from '../support/processes.ts';
import { type DeliveredMessage, startSmtpSink } from '../support/smtp-sink.ts';
import { needDkimpy, needMailDkim, startDkimpy, startMailDkim } from '../support/verifiers.ts';

const ready = [
  need('named', 'bind9'),
  need('postfix', 'postfix'),
  need('opendkim', 'opendkim'),
  need('swaks', 'swaks'),
  needDkimpy(),
  needMailDkim(),
  needRoot('Postfix'),
].every(Boolean);

/** With a signer that is known to be right: what fails here is the tests' own machinery. */
describe.skipIf(!ready)('the mail servers that tests run', () => {
  test('Postfix passes mail through a milter to the sink, and the verifiers tell good from bad', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    });
    const p = createPublicKey(publicKey).export({ type: 'spki', format: 'der' }).toString('base64');
    const record = `s1._domainkey IN TXT ( "v=DKIM1; k=rsa; p=${p.slice(0, 200)}" "${p.slice(200)}" )`;
    const delivered: DeliveredMessage[] = [];
    await using bind = await startBind({ zones: [{ apex: 'example.test', records: [record] }] });
    await using sink = await startSmtpSink((message) => delivered.push(message));
    await using signer = await startOpenDkim([{ domain: 'example.test', selector: 's1', privateKey }]);
    await using postfix = await startPostfix({ milters: [signer.milter], nextHop: sink.port });
    const sent = await run('swaks', [
      ...['--server', '127.0.0.1', '--port', String(postfix.port), '--from', 'a@example.test', '--to', 'b@sink.test'],
      ...['--header', 'Subject: hello', '--body', 'one\n..two\n'],
    ]);
    expect(sent.code, sent.stdout).toBe(0);
    await waitFor(() => delivered.length === 1, { what: `the sink to be given the message; ${postfix.log()}` });
    await waitFor(async () => (await postfix.queued()) === 0, { what: 'the queue to be empty' });
    const message = delivered[0]?.bytes ?? Buffer.alloc(0);
    const tampered = Buffer.from(message.toString('latin1').replace('one', 'two'), 'latin1');
    for (const start of [startDkimpy, startMailDkim]) {
      await using verifier = start(bind.port);
      const expected = { domain: 'example.test', selector: 's1', algorithm: 'rsa-sha256' };
      expect(await verifier.verify(message)).toMatchObject([{ ...expected, passed: true }]);
      expect(await verifier.verify(tampered)).toMatchObject([{ ...expected, passed: false }]);
      expect(await verifier.verify(Buffer.from('From: a@example.test\r\n\r\nhello\r\n'))).toEqual([]);
    }
  });
});
