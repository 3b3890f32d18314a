import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromDomains } from '../../dkim/from-domains.ts';
import type { HeaderField } from '../../dkim/types.ts';
import type { Keyring, KeyringKey } from '../keyring.ts';
import { createKeyringBook } from '../keyring-book.ts';
import { type Decision, type DecisionSettings, decide, failureReply } from './decide.ts';
import { networkList } from './networks.ts';
import { type Envelope, type StreamRule, streamChooser } from './rules.ts';

const { privateKey } = generateKeyPairSync('ed25519');
const key = (selector: string): KeyringKey => ({ selector, algorithm: 'ed25519-sha256', privateKey });
const local: Envelope = {
  clientAddress: '127.0.0.1',
  isLocal: false,
  user: null,
  sender: 'joe@example.com',
  daemonName: null,
};
const stranger: Envelope = { ...local, clientAddress: '203.0.113.9' };

const field = (name: string, value: string): HeaderField => ({ name, raw: Buffer.from(`${name}: ${value}`) });
const from = (value: string): HeaderField => field('From', value);

function ring(domain: string, streams: Keyring['streams'], mustSign = true): Keyring {
  return { domain, generation: 1, mustSign, streams };
}

function decided(
  headers: readonly HeaderField[],
  keyrings: readonly Keyring[],
  options: { envelope?: Envelope; rules?: StreamRule[]; subdomains?: boolean; daemons?: string[] } = {},
): Decision {
  const book = createKeyringBook();
  for (const each of keyrings) book.put(each);
  const settings: DecisionSettings = {
    internal: networkList(['127.0.0.0/8']),
    daemons: new Set(options.daemons ?? []),
    signSubdomains: options.subdomains ?? false,
    streams: streamChooser(options.rules ?? []),
  };
  return decide(options.envelope ?? local, headers, fromDomains(headers), book, settings);
}

/** `domain/stream:selectors` of what is signed, or the reason. */
function short(decision: Decision): string {
  if (decision.kind !== 'sign') return `${decision.kind} ${decision.because} ${decision.domain ?? ''}`.trim();
  return decision.plans
    .map(({ entry, stream, keys }) => `${entry.domain}/${stream}:${keys.map(({ selector }) => selector).join('+')}`)
    .join(' ');
}

const example = ring('example.com', { default: [key('s1'), key('s2')], news: [key('n1')], empty: [] });

describe('what is outbound', () => {
  it('is mail of internal networks, of authenticated users, of local clients and of named daemons', () => {
    const headers = [from('joe@example.com')];
    const signed = 'example.com/default:s1+s2';
    expect(short(decided(headers, [example]))).toBe(signed);
    expect(short(decided(headers, [example], { envelope: stranger }))).toBe('pass inbound');
    expect(short(decided(headers, [example], { envelope: { ...stranger, user: 'joe' } }))).toBe(signed);
    expect(short(decided(headers, [example], { envelope: { ...stranger, user: '' } }))).toBe('pass inbound');
    expect(short(decided(headers, [example], { envelope: { ...local, clientAddress: null } }))).toBe('pass inbound');
    expect(short(decided(headers, [example], { envelope: { ...local, clientAddress: null, isLocal: true } }))).toBe(
      signed,
    );
    const daemon = { ...stranger, daemonName: 'ORIGINATING' };
    expect(short(decided(headers, [example], { envelope: daemon }))).toBe('pass inbound');
    expect(short(decided(headers, [example], { envelope: daemon, daemons: ['ORIGINATING'] }))).toBe(signed);
  });
});

describe('whose mail it is', () => {
  it.each([
    [
      'the address counts, not the display name',
      [from('"a@example.org" <joe@EXAMPLE.com>')],
      'example.com/default:s1+s2',
    ],
    ['another domain is not ours', [from('joe@example.org')], 'pass not-ours example.org'],
    ['nor is one below ours', [from('joe@sub.example.com')], 'pass not-ours sub.example.com'],
    ['no From, no author', [field('To', 'joe@example.com')], 'pass no-from'],
    [
      'several From fields with ours among them fail',
      [from('a@example.org'), from('b@example.com')],
      'fail several-from example.com',
    ],
    ['several From fields of others pass', [from('a@example.org'), from('b@example.net')], 'pass not-ours example.org'],
    [
      'an unreadable From that seems to be ours fails',
      [from('"joe <joe@example.com>')],
      'fail unreadable-from example.com',
    ],
    ['an unreadable From of others passes', [from('"joe <joe@example.org>')], 'pass unreadable-from'],
    ['an empty From passes', [from('')], 'pass unreadable-from'],
    ['of several authors ours signs', [from('a@example.org, b@example.com')], 'example.com/default:s1+s2'],
  ])('%s', (_what, headers, expected) => {
    expect(short(decided(headers, [example]))).toBe(expected);
  });

  it('is signed by each of several authors that are ours, or fails as a whole', () => {
    const headers = [from('a@example.com, b@second.example')];
    const second = ring('second.example', { default: [key('x')] });
    expect(short(decided(headers, [example, second]))).toBe('example.com/default:s1+s2 second.example/default:x');
    const without = ring('second.example', { default: [] });
    expect(short(decided(headers, [example, without]))).toBe('fail no-keys second.example');
  });

  it('may be of a parent domain where that is allowed', () => {
    const headers = [from('joe@a.b.example.com')];
    expect(short(decided(headers, [example], { subdomains: true }))).toBe('example.com/default:s1+s2');
    const own = ring('b.example.com', { default: [key('own')] });
    expect(short(decided(headers, [example, own], { subdomains: true }))).toBe('b.example.com/default:own');
    const settingUp = ring('a.b.example.com', { default: [] }, false);
    expect(short(decided(headers, [example, settingUp], { subdomains: true }))).toBe('example.com/default:s1+s2');
    const lost = ring('a.b.example.com', { default: [] }, true);
    expect(short(decided(headers, [example, lost], { subdomains: true }))).toBe('fail no-keys a.b.example.com');
    expect(short(decided([from('joe@com')], [example], { subdomains: true }))).toBe('pass not-ours com');
  });
});

describe('a domain without keys', () => {
  it('passes while it has never had one, and fails afterwards', () => {
    const headers = [from('joe@new.example')];
    expect(short(decided(headers, [ring('new.example', { default: [] }, false)]))).toBe('pass setting-up new.example');
    expect(short(decided(headers, [ring('new.example', { default: [] }, true)]))).toBe('fail no-keys new.example');
  });
});

describe('the stream', () => {
  const rules: StreamRule[] = [
    { stream: 'news', header: { name: 'List-Id', value: '*<news.example.com>' } },
    { stream: 'news', user: 'mailer*' },
    { stream: 'news', sender: 'bounce-?@example.com', client: '127.0.0.2' },
    { stream: 'empty', sender: 'empty@example.com' },
    { stream: 'unheard-of', sender: 'unheard@example.com' },
    { stream: 'news', sender: 'other@example.com', domain: 'other.example' },
  ];
  const stream = (envelope: Partial<Envelope>, ...more: HeaderField[]): string =>
    short(decided([from('joe@example.com'), ...more], [example], { rules, envelope: { ...local, ...envelope } }));
  const news = 'example.com/news:n1';
  const usual = 'example.com/default:s1+s2';

  it('is chosen by the first rule whose conditions all hold', () => {
    expect(stream({})).toBe(usual);
    expect(stream({}, field('LIST-ID', 'Our news\r\n\t<news.example.com>'))).toBe(news);
    expect(stream({}, field('List-Id', 'Our news <old.example.com>'))).toBe(usual);
    expect(stream({ user: 'MAILER-3' })).toBe(news);
    expect(stream({ sender: 'bounce-7@example.com' })).toBe(usual);
    expect(stream({ sender: 'bounce-7@example.com', clientAddress: '127.0.0.2' })).toBe(news);
    expect(stream({ sender: 'other@example.com' })).toBe(usual);
  });

  it('is the default one where the chosen one has no keys or is not the domain’s', () => {
    expect(stream({ sender: 'empty@example.com' })).toBe(usual);
    expect(stream({ sender: 'unheard@example.com' })).toBe(usual);
  });
});

describe('the answer to a failure', () => {
  it('is temporary or for good as is wished, and names the domain', () => {
    expect(failureReply('no-keys', 'example.com', 'tempfail')).toEqual({
      code: '451',
      status: '4.7.5',
      text: 'no active DKIM key for example.com; try again later',
    });
    expect(failureReply('several-from', 'example.com', 'reject')).toMatchObject({ code: '550', status: '5.7.5' });
  });
});
