/** `npm run bench milter [-- options]`, `npm run bench reconcile`: each measurement has a folder of its own. */
import { existsSync, readdirSync } from 'node:fs';

const [name = '', ...options] = process.argv.slice(2);
const here = import.meta.dirname;
const known = readdirSync(here, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(`${here}/${entry.name}/main.ts`))
  .map((entry) => entry.name);

if (known.includes(name)) {
  process.argv.splice(2, process.argv.length - 2, ...options);
  await import(`./${name}/main.ts`);
} else {
  process.stderr.write(
    `Nothing to measure is called "${name}". There is: ${known.map((each) => `npm run bench ${each}`).join(', ')}\n`,
  );
  process.exitCode = 2;
}
