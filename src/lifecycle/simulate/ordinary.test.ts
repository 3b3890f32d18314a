import { expect, it } from 'vitest';
import { live } from './live.ts';

// Two files, so that two processors share the years.
it('6,000 domain-years of ordinary lives break nothing', { timeout: 400_000 }, () => {
  const result = live({ years: 6000, seed: 1, hardship: 0.5 });
  expect(result.broke).toBeNull();
  expect(result.years).toBeGreaterThanOrEqual(6000);
  expect(result.changes).toBeGreaterThan(10_000);
  expect(result.verified).toBeGreaterThan(1_000_000);
});
