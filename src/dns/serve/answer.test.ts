import { describe, expect, test } from 'vitest';
import { answer } from './answer.ts';
import { createZoneStore } from './zone-store.ts';

const zones = createZoneStore([
  {
    apex: 'example.test',
    nameServers: ['ns1.example.test'],
    negativeTtl: 30,
    records: [
      ['ns1.example.test', [{ type: 'A', address: '192.0.2.1', ttl: 60 }]],
      ['s1._domainkey.example.test', { value: 'v=DKIM1; p=AA', ttl: 300 }],
      ['c1._domainkey.example.test', [{ type: 'CNAME', target: 'k1.keys.test', ttl: 60 }]],
      ['c2._domainkey.example.test', [{ type: 'CNAME', target: 'gone.keys.test', ttl: 60 }]],
      ['c3._domainkey.example.test', [{ type: 'CNAME', target: 'elsewhere.example', ttl: 60 }]],
      ['c4._domainkey.example.test', [{ type: 'CNAME', target: 'c1._domainkey.example.test', ttl: 60 }]],
      ['loop1.example.test', [{ type: 'CNAME', target: 'loop2.example.test', ttl: 60 }]],
      ['loop2.example.test', [{ type: 'CNAME', target: 'loop1.example.test', ttl: 60 }]],
      ['self.example.test', [{ type: 'CNAME', target: 'self.example.test', ttl: 60 }]],
    ],
  },
  {
    apex: 'keys.test',
    nameServers: ['ns1.example.test'],
    records: [['k1.keys.test', { value: 'v=DKIM1; p=BB', ttl: 300 }]],
  },
]);

/** An answer in a line: code, AA, records as `owner TYPE`, and what the authority section holds. */
function ask(name: string, type = 'TXT', recordClass: 'IN' | 'CH' | 'ANY' = 'IN'): string {
  const { rcode, aa, answers, authorities } = answer(zones.current(), { name, type, class: recordClass });
  const list = (records: readonly { name: string; type: string }[]): string =>
    records.map((record) => `${record.name} ${record.type}`).join(', ');
  return `${rcode}${aa ? ' aa' : ''} [${list(answers)}] [${list(authorities)}]`;
}

describe('answers', () => {
  test.each([
    ['s1._domainkey.example.test', 'TXT', 'NOERROR aa [s1._domainkey.example.test TXT] []'],
    ['S1._DomainKey.Example.Test', 'TXT', 'NOERROR aa [S1._DomainKey.Example.Test TXT] []'],
    ['s1._domainkey.example.test', 'A', 'NOERROR aa [] [example.test SOA]'],
    ['_domainkey.example.test', 'TXT', 'NOERROR aa [] [example.test SOA]'],
    ['s2._domainkey.example.test', 'TXT', 'NXDOMAIN aa [] [example.test SOA]'],
    ['below.s1._domainkey.example.test', 'TXT', 'NXDOMAIN aa [] [example.test SOA]'],
    ['example.test', 'SOA', 'NOERROR aa [example.test SOA] []'],
    ['example.test', 'NS', 'NOERROR aa [example.test NS] []'],
    ['example.test', 'TXT', 'NOERROR aa [] [example.test SOA]'],
    ['example.test', 'DNSKEY', 'NOERROR aa [] [example.test SOA]'],
    ['example.test', 'TYPE65280', 'NOERROR aa [] [example.test SOA]'],
    ['example.test', 'ANY', 'NOERROR aa [example.test SOA] []'],
    ['s1._domainkey.example.test', 'ANY', 'NOERROR aa [s1._domainkey.example.test TXT] []'],
    ['_domainkey.example.test', 'ANY', 'NOERROR aa [] [example.test SOA]'],
    ['ns1.example.test', 'A', 'NOERROR aa [ns1.example.test A] []'],
    ['example.org', 'TXT', 'REFUSED [] []'],
    ['test', 'NS', 'REFUSED [] []'],
    ['.', 'NS', 'REFUSED [] []'],
    ['notexample.test', 'TXT', 'REFUSED [] []'],
  ])('%s %s', (name, type, expected) => {
    expect(ask(name, type)).toBe(expected);
  });

  test.each([
    ['c1._domainkey.example.test', 'TXT', 'NOERROR aa [c1._domainkey.example.test CNAME, k1.keys.test TXT] []'],
    ['c1._domainkey.example.test', 'MX', 'NOERROR aa [c1._domainkey.example.test CNAME] [keys.test SOA]'],
    ['c1._domainkey.example.test', 'CNAME', 'NOERROR aa [c1._domainkey.example.test CNAME] []'],
    ['c1._domainkey.example.test', 'ANY', 'NOERROR aa [c1._domainkey.example.test CNAME] []'],
    ['c2._domainkey.example.test', 'TXT', 'NXDOMAIN aa [c2._domainkey.example.test CNAME] [keys.test SOA]'],
    ['c3._domainkey.example.test', 'TXT', 'NOERROR aa [c3._domainkey.example.test CNAME] []'],
    [
      'c4._domainkey.example.test',
      'TXT',
      'NOERROR aa [c4._domainkey.example.test CNAME, c1._domainkey.example.test CNAME, k1.keys.test TXT] []',
    ],
    ['loop1.example.test', 'TXT', 'NOERROR aa [loop1.example.test CNAME, loop2.example.test CNAME] []'],
    ['self.example.test', 'TXT', 'NOERROR aa [self.example.test CNAME] []'],
  ])('follows CNAMEs in its own zones: %s %s', (name, type, expected) => {
    expect(ask(name, type)).toBe(expected);
  });

  test('serves the Internet class, or any', () => {
    expect(ask('version.bind', 'TXT', 'CH')).toBe('REFUSED [] []');
    expect(ask('example.test', 'SOA', 'CH')).toBe('REFUSED [] []');
    expect(ask('example.test', 'SOA', 'ANY')).toBe('NOERROR aa [example.test SOA] []');
  });

  test('the SOA of a negative answer says how long it may be kept', () => {
    const { authorities } = answer(zones.current(), { name: 'x.example.test', type: 'TXT', class: 'IN' });
    expect(authorities[0]).toMatchObject({ ttl: 30, data: { minimum: 30 } });
  });
});
