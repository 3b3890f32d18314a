/** The codec and TSIG against an implementation that is not ours: dnspython. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decodeMessage,
  encodeMessage,
  type Message,
  type RecordData,
  type ResourceRecord,
} from '../../src/dns/wire/message.ts';
import { signTsig, type TsigAlgorithm, type TsigKey, verifyTsig } from '../../src/dns/wire/tsig.ts';
import { missing, need } from '../support/need.ts';
import { anyQuery, anyUpdate } from './wire-arbitraries.ts';

/** Debian's own interpreter, which alone sees its packages. */
const python = '/usr/bin/python3';

function needDnspython(): boolean {
  if (!need(python, 'python3')) return false;
  if (spawnSync(python, ['-c', 'import dns.message']).status === 0) return true;
  return missing('dnspython: not installed; apt-get install python3-dnspython');
}

interface Understood {
  readonly error?: string;
  readonly id: number;
  readonly questions: readonly (readonly [string, string])[];
  readonly sections: readonly (readonly unknown[])[];
  readonly edns: number;
  readonly payload: number;
  readonly options: readonly (readonly [number, string])[];
  readonly flags: string;
  readonly tsig: boolean;
  readonly wire: string;
  readonly mac: string;
}

function startOracle(): { ask(request: object): Promise<Understood>; stop(): Promise<void> } {
  const script = fileURLToPath(new URL('wire-oracle.py', import.meta.url));
  const child: ChildProcessWithoutNullStreams = spawn(python, [script]);
  const waiting: PromiseWithResolvers<Understood>[] = [];
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.resolve(JSON.parse(line)));
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => {
      for (const answer of waiting.splice(0)) answer.reject(new Error(`dnspython ended: ${errors}`));
      resolve();
    });
  });
  return {
    ask: (request) => {
      const answer = Promise.withResolvers<Understood>();
      waiting.push(answer);
      child.stdin.write(`${JSON.stringify(request)}\n`);
      return answer.promise;
    },
    stop: () => {
      child.stdin.end();
      return closed;
    },
  };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const dotted = (name: string): string => (name === '.' ? '.' : `${name}.`);

function quoted(bytes: Uint8Array): string {
  const chars = Array.from(bytes, (octet) => {
    if (octet === 0x22 || octet === 0x5c) return `\\${String.fromCharCode(octet)}`;
    return octet >= 0x20 && octet < 0x7f ? String.fromCharCode(octet) : `\\${String(octet).padStart(3, '0')}`;
  });
  return `"${chars.join('')}"`;
}

/** Record data in zone-file form, written from the RFCs and not from the codec. */
function dataText(data: RecordData): string | null {
  switch (data.kind) {
    case 'EMPTY':
      return null;
    case 'RAW':
      return `\\# ${data.bytes.length} ${hex(data.bytes)}`;
    case 'A':
    case 'AAAA':
      return data.address;
    case 'NS':
    case 'CNAME':
    case 'DNAME':
    case 'PTR':
      return dotted(data.target);
    case 'SOA':
      return `${dotted(data.mname)} ${dotted(data.rname)} ${data.serial} ${data.refresh} ${data.retry} ${data.expire} ${data.minimum}`;
    case 'MX':
      return `${data.preference} ${dotted(data.exchange)}`;
    case 'TXT':
      return data.strings.map(quoted).join(' ');
    case 'SRV':
      return `${data.priority} ${data.weight} ${data.port} ${dotted(data.target)}`;
    case 'CAA':
      return `${data.flags} ${data.tag} ${quoted(data.value)}`;
    case 'TSIG':
      return null;
  }
}

const recordText = (record: ResourceRecord): unknown[] => [
  record.name,
  record.ttl,
  record.class,
  record.type,
  // Hexadecimal digits of unknown data are grouped at the implementation's taste.
  dataText(record.data),
];

const ungrouped = (row: unknown): unknown[] => {
  const fields = Array.isArray(row) ? row : [];
  const text: unknown = fields[4];
  if (typeof text !== 'string' || !text.startsWith('\\#')) return fields;
  const [mark, length, ...digits] = text.split(' ');
  return [...fields.slice(0, 4), `${mark} ${length} ${digits.join('')}`];
};

/** dnspython compresses without regard to case, so letters may change theirs on the way back. */
const withoutCase = (message: Message): string =>
  JSON.stringify(message, (_, value: unknown) => (value instanceof Uint8Array ? hex(value) : value)).toLowerCase();

describe.skipIf(!needDnspython())('the codec against dnspython', () => {
  let oracle: ReturnType<typeof startOracle>;
  beforeAll(() => {
    oracle = startOracle();
  });
  afterAll(() => oracle.stop());

  async function agree(message: Message): Promise<void> {
    const understood = await oracle.ask({ wire: hex(encodeMessage(message)) });
    expect(understood.error).toBeUndefined();
    expect(understood.id).toBe(message.id);
    expect(understood.questions).toEqual(message.questions.map(({ name, type }) => [name, type]));
    expect(understood.sections.map((rows) => rows.map(ungrouped))).toEqual(
      [message.answers, message.authorities, message.additionals].map((section) => section.map(recordText)),
    );
    expect(understood.edns).toBe(message.edns?.version ?? -1);
    if (message.edns !== undefined) {
      expect(understood.payload).toBe(message.edns.udpSize);
      expect(understood.options).toEqual(message.edns.options.map(({ code, data }) => [code, hex(data)]));
    }
    const { flags } = message;
    const set = (['qr', 'aa', 'tc', 'rd', 'ra', 'ad', 'cd'] as const).filter((flag) => flags[flag]);
    expect(understood.flags).toBe(set.join(' ').toUpperCase());
    // And back: what dnspython writes, compressed in its own way, we read as the same message.
    expect(withoutCase(decodeMessage(Buffer.from(understood.wire, 'hex')))).toBe(withoutCase(message));
  }

  it('agrees on queries and answers of every type', async () => {
    await fc.assert(fc.asyncProperty(anyQuery, agree), { numRuns: 300 });
  });

  it('agrees on updates, with all forms of prerequisites and changes', async () => {
    await fc.assert(fc.asyncProperty(anyUpdate, agree), { numRuns: 300 });
  });

  describe.each(['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const)('TSIG with %s', (algorithm: TsigAlgorithm) => {
    const key: TsigKey = { name: 'Update-Key.example', algorithm, secret: randomBytes(48) };
    const shared = { name: key.name, algorithm, secret: Buffer.from(key.secret).toString('base64') };
    const now = (): number => Math.floor(Date.now() / 1000);

    it('is verified there when signed here, and here when signed there', async () => {
      const property = fc.asyncProperty(fc.oneof(anyQuery, anyUpdate), async (message) => {
        const plain = encodeMessage(message);
        const signed = signTsig(plain, key, { time: now() });
        const theirs = await oracle.ask({ wire: hex(signed.bytes), key: shared, sign: { fudge: 300 } });
        expect(theirs.error).toBeUndefined();
        expect(theirs.tsig).toBe(true);
        const verification = verifyTsig(Buffer.from(theirs.wire, 'hex'), key, { now: now() });
        expect(verification.status).toBe('ok');
      });
      await fc.assert(property, { numRuns: 40 });
    });

    it('binds an answer to its request, in both directions', async () => {
      const property = fc.asyncProperty(
        anyQuery,
        fc.uint8Array({ minLength: 32, maxLength: 64 }),
        async (message, mac) => {
          const signed = signTsig(encodeMessage(message), key, { time: now(), requestMac: mac });
          const request = { wire: hex(signed.bytes), key: shared, sign: { fudge: 300, requestMac: hex(mac) } };
          const theirs = await oracle.ask({ ...request, requestMac: hex(mac) });
          expect(theirs.error).toBeUndefined();
          const bytes = Buffer.from(theirs.wire, 'hex');
          expect(verifyTsig(bytes, key, { now: now(), requestMac: mac }).status).toBe('ok');
          expect(verifyTsig(bytes, key, { now: now() }).status).toBe('BADSIG');
          // Without the request's MAC dnspython refuses ours too.
          expect((await oracle.ask(request)).error).toMatch(/BadSignature/);
        },
      );
      await fc.assert(property, { numRuns: 20 });
    });
  });
});
