/** Test messages: sent through a program that signs, and judged by what comes back. */
import type { KeyObject } from 'node:crypto';
import { BodyHasher, type BodyHashes } from '../../dkim/body-hash.ts';
import { splitMessage } from '../../dkim/message.ts';
import { parseTagList, withoutFolds } from '../../dkim/tag-list.ts';
import type { HeaderField } from '../../dkim/types.ts';
import { verifyOwn } from '../../dkim/verify-own.ts';
import { testMessage } from '../milter/signer.ts';

export type Probed =
  | {
      readonly kind: 'came-back';
      readonly headers: readonly HeaderField[];
      readonly body: BodyHashes;
      /** Whole DKIM-Signature fields. */
      readonly signatures: readonly string[];
    }
  /** Whole sentences, with what to do. */
  | { readonly kind: 'failed'; readonly message: string };

/** A way to have a program sign a test message. */
export interface Probe {
  /** Never throws for what the program does. */
  send(domain: string, from: string): Promise<Probed>;
  close?(): Promise<void>;
}

export interface ExpectedKey {
  readonly selector: string;
  readonly publicKey: KeyObject;
}

export interface Judgement {
  /** Selectors that should have signed and did not, or not so that it verifies. */
  readonly missing: readonly string[];
  /** Selectors of this domain that signed and should not have. */
  readonly unexpected: readonly string[];
}

/** Compares the signatures of one domain on a test message with the keys that should sign it. */
export function judge(
  { headers, body, signatures }: Extract<Probed, { kind: 'came-back' }>,
  domain: string,
  expected: readonly ExpectedKey[],
): Judgement {
  const made = signatures
    .map((field) => ({ field, ...readNames(field) }))
    .filter((each) => each.domain?.toLowerCase() === domain);
  return {
    missing: expected
      .filter(
        ({ selector, publicKey }) =>
          !made.some(
            (each) => each.selector === selector && verifyOwn(headers, body, each.field, publicKey).kind === 'valid',
          ),
      )
      .map(({ selector }) => selector),
    unexpected: made
      .map(({ selector }) => selector ?? '?')
      .filter((name) => !expected.some((e) => e.selector === name)),
  };
}

/** A message as it came back, whole. */
export function readProbed(message: Uint8Array): Probed {
  const { headers, body } = splitMessage(message);
  const hasher = new BodyHasher(['relaxed', 'simple']);
  hasher.update(body);
  const signatures = headers
    .filter(({ name }) => name.toLowerCase() === 'dkim-signature')
    .map(({ raw }) => Buffer.from(raw).toString('latin1'));
  return { kind: 'came-back', headers, body: hasher.finish(), signatures };
}

/** The test message as octets, with CRLF. `marks` are further fields. */
export function probeMessage(domain: string, from: string, marks: Readonly<Record<string, string>>): Buffer {
  const { headers, body } = testMessage(domain, from);
  const fields = [...headers, ...Object.entries(marks).map(([name, value]) => [name, ` ${value}`] as const)];
  const replaced = new Map(fields.map(([name, value]) => [name, value]));
  const head = [...replaced].map(([name, value]) => `${name}:${value.toString()}\r\n`).join('');
  return Buffer.concat([Buffer.from(`${head}\r\n`), body]);
}

function readNames(field: string): { readonly domain: string | undefined; readonly selector: string | undefined } {
  const list = parseTagList(field.slice(field.indexOf(':') + 1));
  const tags = new Map(list.ok ? list.tags.map(({ name, value }) => [name, withoutFolds(value)]) : []);
  return { domain: tags.get('d'), selector: tags.get('s') };
}
