import { readFileSync } from 'node:fs';

/** The package's version; the file lies two folders up both in a checkout (`src/cli`) and when installed (`dist/cli`). */
export function programVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version);
  return 'unknown';
}
