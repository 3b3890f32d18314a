import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readVaultRequest } from './request.ts';

const paths = new Map([
  ['dkim', 'default'],
  ['news/dkim', 'newsletter'],
  ['secret/crm', 'crm'],
]);
const read = (target: string) => readVaultRequest(target, paths);

describe('what a request asks for', () => {
  test('rspamd with KV version 1', () => {
    expect(read('/v1/dkim/example.com')).toEqual({
      stream: 'default',
      domain: 'example.com',
      selector: null,
      version: 1,
    });
    expect(read('/v1/news/dkim/Example.COM.')).toMatchObject({ stream: 'newsletter', domain: 'example.com' });
  });

  test('rspamd with KV version 2, the mount named or not', () => {
    for (const target of ['/v1/dkim/data/example.com', '/v1/secret/data/dkim/example.com']) {
      expect(read(target)).toEqual({ stream: 'default', domain: 'example.com', selector: null, version: 2 });
    }
    expect(read('/v1/secret/data/crm/example.com')).toMatchObject({ stream: 'crm', version: 2 });
  });

  test("Mailu's prefix", () => {
    expect(read('/internal/rspamd/vault/v1/dkim/example.com')).toMatchObject({ stream: 'default', version: 1 });
  });

  test('KumoMTA: one key by its selector', () => {
    expect(read('/v1/secret/data/dkim/example.com/s1.key')).toEqual({
      stream: 'default',
      domain: 'example.com',
      selector: 's1',
      version: 2,
    });
    expect(read('/v1/secret/data/dkim/example.com/s1.mail')).toMatchObject({ selector: 's1.mail' });
  });

  test.each([
    '/',
    '/v1/',
    '/v1/dkim',
    '/v1/dkim/',
    '/v1/other/example.com',
    '/v1/dkim/..%2f..%2fetc',
    '/v1/dkim/../../etc/passwd',
    '/v1/dkim/exa mple.com',
    '/v1/dkim/-example.com',
    `/v1/dkim/${'a.'.repeat(130)}com`,
    `/v1/dkim/example.com?${'x'.repeat(2000)}`,
    '/v2/dkim/example.com',
    '/v1/secret/metadata/dkim/example.com',
  ])('%s is none of ours', (target) => {
    expect(read(target)).toBeNull();
  });

  test('whatever comes: no error, and names that are names', () => {
    const part = fc.oneof(fc.string(), fc.constantFrom('v1', 'dkim', 'data', 'secret', 'example.com', '..', '%00'));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        const asked = read(`/${parts.join('/')}`);
        if (asked === null) return;
        expect(asked.domain).toMatch(/^[a-z0-9._-]+$/);
        expect(['default', 'newsletter', 'crm']).toContain(asked.stream);
      }),
      { numRuns: 500 },
    );
  });
});
