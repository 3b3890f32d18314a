/** A message as offices send them: a dozen fields, text in lines. */
import type { ClientMessage } from '../../src/signers/milter/client-frames.ts';

export function benchMessage(domain: string, bodyOctets: number): ClientMessage {
  return {
    sender: `anna@${domain}`,
    recipients: ['bert@example.net'],
    headers: [
      [
        'Received',
        ` from laptop.${domain} (unknown [192.0.2.17])\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\n\tby mail.${domain} (Postfix) with ESMTPSA id 4XyZ12345\n\tfor <bert@example.net>; Tue, 24 Nov 2026 12:00:00 +0000 (UTC)`,
      ],
      ['From', ` Anna Example <anna@${domain}>`],
      ['To', ' Bert Example <bert@example.net>,\n\tCarla Example <carla@example.org>'],
      ['Subject', ' The figures of the third quarter, with what we said about them on Monday'],
      ['Date', ' Tue, 24 Nov 2026 12:00:00 +0000'],
      ['Message-ID', ` <20261124120000.4XyZ12345@mail.${domain}>`],
      ['In-Reply-To', ' <CAF+abcdefghijklmnopqrstuvwxyz0123456789@mail.example.net>'],
      ['References', ' <CAF+abcdefghijklmnopqrstuvwxyz0123456789@mail.example.net>'],
      ['User-Agent', ' Mozilla Thunderbird'],
      ['MIME-Version', ' 1.0'],
      ['Content-Type', ' text/plain; charset=UTF-8'],
      ['Content-Transfer-Encoding', ' 8bit'],
      ['Content-Language', ' en-GB'],
    ],
    body: text(bodyOctets),
  };
}

const words =
  'The quarter went well on the whole, though two of the regions were behind what had been planned for them in spring.'.split(
    ' ',
  );

/** Lines of about 72 columns with paragraphs, as a person's mail has. */
function text(octets: number): Buffer {
  let out = '';
  let line = '';
  for (let i = 0; out.length < octets; i++) {
    const word = words[(i * 7) % words.length] ?? '';
    if (line.length + word.length > 72) {
      out += `${line}\r\n${i % 50 === 0 ? '\r\n' : ''}`;
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return Buffer.from(`${out.slice(0, octets - 2)}\r\n`, 'latin1');
}
