import { expect, test } from 'vitest';
import { endpointText, parseEndpoint } from './endpoint.ts';
import { parseResolvConf, systemResolvers } from './resolv-conf.ts';

test('servers are written as people write them', () => {
  const cases: [string, string, number][] = [
    ['192.0.2.1', '192.0.2.1', 53],
    ['192.0.2.1:5300', '192.0.2.1', 5300],
    ['2001:db8::1', '2001:db8::1', 53],
    ['[2001:db8::1]', '2001:db8::1', 53],
    ['[2001:db8::1]:5300', '2001:db8::1', 5300],
    ['ns1.example.net', 'ns1.example.net', 53],
    ['ns1.example.net:5300', 'ns1.example.net', 5300],
  ];
  for (const [text, address, port] of cases) {
    expect(parseEndpoint(text)).toEqual({ address, port });
    expect(parseEndpoint(endpointText({ address, port }))).toEqual({ address, port });
  }
  expect(parseEndpoint('192.0.2.1', 5353).port).toBe(5353);
});

test.each(['', ':53', '192.0.2.1:', '192.0.2.1:0', '192.0.2.1:65536', '[192.0.2.1]:53', '[::1', 'a b', '1.2.3.4:5:6'])(
  '%j is no server',
  (text) => {
    expect(() => parseEndpoint(text)).toThrow(/is no server: write/);
  },
);

test('the resolvers of resolv.conf', () => {
  const text =
    '# nameserver 192.0.2.9\nsearch example.net\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 \nnameserver fe80::1%eth0\nnameserver nonsense\noptions edns0\n';
  expect(parseResolvConf(text)).toEqual(['192.0.2.1', '2001:db8::1', 'fe80::1%eth0']);
  expect(systemResolvers('/nonexistent/resolv.conf')).toEqual(['127.0.0.1']);
});
