import { describe, expect, it } from 'vitest';
import { formatEndpoint, parseEndpoint } from './endpoint.ts';

describe('an endpoint', () => {
  it.each([
    ['unix:/run/m.sock', { kind: 'unix', path: '/run/m.sock' }, 'unix:/run/m.sock'],
    ['local:/run/m.sock', { kind: 'unix', path: '/run/m.sock' }, 'unix:/run/m.sock'],
    ['/run/m.sock', { kind: 'unix', path: '/run/m.sock' }, 'unix:/run/m.sock'],
    ['inet:127.0.0.1:8891', { kind: 'tcp', host: '127.0.0.1', port: 8891 }, 'inet:127.0.0.1:8891'],
    ['inet:8891', { kind: 'tcp', host: '127.0.0.1', port: 8891 }, 'inet:127.0.0.1:8891'],
    ['inet:8891@localhost', { kind: 'tcp', host: 'localhost', port: 8891 }, 'inet:localhost:8891'],
    ['inet6:[::1]:8891', { kind: 'tcp', host: '::1', port: 8891 }, 'inet:[::1]:8891'],
  ])('%s', (text, expected, written) => {
    expect(parseEndpoint(text)).toEqual(expected);
    expect(formatEndpoint(parseEndpoint(text))).toBe(written);
  });

  it.each(['', 'inet:', 'inet:host', 'inet:host:99999', 'tcp:1.2.3.4:5', 'unix:'])('refuses %s', (text) => {
    expect(() => parseEndpoint(text)).toThrow('is no milter socket');
  });
});
