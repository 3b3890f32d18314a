/** The users that docs/redis.md tells to make: the test runs with exactly them. */
import { readFileSync } from 'node:fs';

/** Lines of `ACL SETUSER …` in the page, without the first word. */
export function aclLines(): string[] {
  const page = readFileSync(new URL('../../docs/redis.md', import.meta.url), 'utf8');
  return page
    .split('\n')
    .filter((line) => line.startsWith('ACL SETUSER '))
    .map((line) => line.slice('ACL '.length));
}
