/** Messages of a rehearsal: small, each different, none to a real person. */
import type { AddedHeader } from '../../signers/milter/client.ts';
import type { ClientMessage } from '../../signers/milter/client-frames.ts';

export function rehearsalMessage(domain: string, number: number, at: number): ClientMessage {
  return {
    clientAddress: '127.0.0.1',
    sender: `bounce@${domain}`,
    recipients: ['reader@receiver.test'],
    queueId: `R${number}`,
    headers: [
      ['From', ` Rehearsal <sender@${domain}>`],
      ['To', ' <reader@receiver.test>'],
      ['Subject', ` Message ${number} of the rehearsal`],
      ['Date', ` ${new Date(at).toUTCString().replace('GMT', '+0000')}`],
      ['Message-ID', ` <${number}.${at}@${domain}>`],
      ['MIME-Version', ' 1.0'],
      ['Content-Type', ' text/plain; charset=us-ascii'],
    ],
    body: Buffer.from(
      `This is message ${number}.\r\n\r\nIt is signed, and its signature is judged by its receiver.\r\n`,
    ),
  };
}

/** The message as its receiver gets it: what the milter added stands on top. */
export function receivedMessage({ headers, body }: ClientMessage, added: readonly AddedHeader[]): Buffer {
  const lines = [
    ...added.map(({ name, value }) => `${name}:${value}`),
    ...headers.map(([name, value]) => `${name}:${value.toString()}`),
  ];
  const header = lines.map((line) => `${line.replaceAll(/\r?\n/g, '\r\n')}\r\n`).join('');
  return Buffer.concat([Buffer.from(`${header}\r\n`, 'latin1'), body]);
}
