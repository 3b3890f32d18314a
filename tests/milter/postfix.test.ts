/** Odd mail through a real Postfix: what it hands over, folds, cuts and writes again must be what was signed. */
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { need, needRoot } from '../support/need.ts';
import { startPostfix } from '../support/postfix.ts';
import { waitFor } from '../support/processes.ts';
import { type DeliveredMessage, startSmtpSink } from '../support/smtp-sink.ts';
import { keyring, makeKey, runningMilter, verdicts } from './support.ts';

const ready = [need('postfix', 'postfix'), needRoot('Postfix')].every(Boolean);
const example = keyring('example.com', 1, [makeKey('r1', 'rsa-sha256'), makeKey('e1', 'ed25519-sha256')]);

const plain =
  'From: joe@example.com\r\nTo: ann@example.net\r\nSubject: hello\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n';

/** Header, empty line and body, as they go over the wire (dots are stuffed below). */
const odd: Record<string, string> = {
  plain: `${plain}\r\nHello.\r\n`,
  'no body': `${plain}\r\n`,
  'blank lines at the end': `${plain}\r\ntext\r\n\r\n\r\n\r\n`,
  'dots and white space': `${plain}\r\n.\r\n..two\r\n  \t \r\ntrailing  \t\r\n`,
  'folded fields': `From: "Joe,\r\n\tthe First" <joe@example.com>\r\nTo: a@example.net,\r\n  b@example.net,\r\n\t\tc@example.net\r\nSubject:  two  spaces \r\n\r\nx\r\n`,
  'no space after the colon': 'From:joe@example.com\r\nTo:ann@example.net\r\nSubject:\r\n\r\nx\r\n',
  '8-bit octets': `${plain}X-Name: Gr\xc3\xbc\xdfe\r\n\r\nGr\xc3\xbc\xc3\x9fe \xff\xfe\r\n`,
  // Longer ones Postfix breaks on delivery (smtp_line_length_limit), whoever signed them.
  'a line of 990 octets': `${plain}\r\n${'x'.repeat(990)}\r\n`,
  'a field of 90 KB': `${plain}References: ${Array.from({ length: 1500 }, (_, i) => `<${String(i).padStart(40, '0')}@example.org>`).join('\r\n\t')}\r\n\r\nx\r\n`,
  '2,000 fields': `${plain}${Array.from({ length: 2000 }, (_, i) => `X-Field-${i}: value\r\n`).join('')}\r\nx\r\n`,
  'a body of 3 MB': `${plain}\r\n${'All work and no play makes Jack a dull boy. \r\n'.repeat(65_000)}`,
  'repeated fields': `To: first@example.net\r\n${plain}To: last@example.net\r\nSubject: again\r\n\r\nx\r\n`,
  'mail of a mailing list': `${plain}List-Id: News <news.example.com>\r\nList-Unsubscribe: <mailto:x@example.com>\r\nReply-To: x@example.com\r\nCc: y@example.net\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nx\r\n`,
};

/** Sends messages over one connection; answers what Postfix said to each. */
function submit(port: number, messages: readonly string[]): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    const said: string[] = [];
    const steps = ['EHLO client.example\r\n'];
    for (const message of messages) {
      const stuffed = message.replaceAll(/(^|\r\n)\./g, '$1..');
      steps.push(
        'MAIL FROM:<joe@example.com> BODY=8BITMIME\r\n',
        'RCPT TO:<ann@example.net>\r\n',
        'DATA\r\n',
        `${stuffed}.\r\n`,
      );
    }
    steps.push('QUIT\r\n');
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      if (!/^\d{3} [^\n]*\n$/m.test(text.slice(text.lastIndexOf('\n', text.length - 2) + 1))) return;
      said.push(text.trim());
      text = '';
      const next = steps.shift();
      if (next !== undefined) socket.write(next, 'latin1');
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(said.filter((_, index) => index > 1 && (index - 1) % 4 === 0)));
  });
}

describe.skipIf(!ready)('mail through Postfix', () => {
  it.each(['simple', 'relaxed'] as const)('verifies whatever its shape, signed %s', async (canonicalization) => {
    const delivered: DeliveredMessage[] = [];
    await using sink = await startSmtpSink((message) => delivered.push(message));
    await using milter = await runningMilter([example], {
      sign: { canonicalization: { header: canonicalization, body: canonicalization } },
    });
    await using postfix = await startPostfix({ milters: [milter.socket], nextHop: sink.port });
    const answers = await submit(postfix.port, Object.values(odd));
    expect(answers).toHaveLength(Object.keys(odd).length);
    for (const answer of answers) expect(answer).toMatch(/^250 /);
    await postfix.sendmail(
      'From: joe@example.com\nSubject: local\n\nFrom this machine.\n',
      'joe@example.com',
      'ann@example.net',
    );
    const expected = answers.length + 1;
    await waitFor(() => delivered.length >= expected, {
      within: 40_000,
      what: `${expected} messages; ${postfix.log()}`,
    });
    for (const { bytes } of delivered) {
      const found = await verdicts(bytes, [example]);
      const text = bytes.subarray(1200, 2400).toString('latin1');
      expect(
        found.map(({ selector, result }) => `${selector} ${result}`),
        text,
      ).toEqual(['r1 pass', 'e1 pass']);
    }
    expect(milter.server.metrics.counters).toMatchObject({ signed: expected, messages: expected, protocolErrors: 0 });
  });

  it('is put off with our words when its domain must be signed and cannot be', async () => {
    await using sink = await startSmtpSink(() => undefined);
    await using milter = await runningMilter([keyring('example.com', 1, [])]);
    await using postfix = await startPostfix({ milters: [milter.socket], nextHop: sink.port });
    const answers = await submit(postfix.port, [odd.plain ?? '', `From: a@example.org\r\n\r\nx\r\n`]);
    expect(answers[0]).toBe('451 4.7.5 no active DKIM key for example.com; try again later');
    expect(answers[1]).toMatch(/^250 /);
  });
});
