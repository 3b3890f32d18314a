/**
 * Says by its exit code whether node_modules holds exactly what package-lock.json asks for, and whether it works here:
 * `node installed.mjs FOLDER run|dev`. Plain JavaScript, as it is run before anything is known to be set up.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [folder = '.', level = 'run'] = process.argv.slice(2);
const read = (path) => JSON.parse(readFileSync(join(folder, path), 'utf8'));

for (const [path, wanted] of Object.entries(read('package-lock.json').packages)) {
  if (path === '' || wanted.optional || wanted.devOptional || (wanted.dev && level !== 'dev')) continue;
  let found = 'nothing';
  try {
    found = read(`${path}/package.json`).version;
  } catch {
    // Told below.
  }
  if (found !== wanted.version) {
    console.error(`${path}: ${wanted.version} is wanted, ${found} is there`);
    process.exit(1);
  }
}

// The one native part: a binary for another system or Node would be installed without a word and fail at its first use.
const Database = createRequire(join(folder, 'package.json'))('better-sqlite3');
new Database(':memory:').close();
