/** Real programs that tests run: present, or the test is skipped by name; under CI=true a missing one is an error. */
import { accessSync, appendFileSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** Debian keeps servers in sbin folders, which an ordinary user's PATH leaves out. */
const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];

/** Full path of a program, or null where it is not installed. */
export function findProgram(program: string): string | null {
  const candidates = isAbsolute(program) ? [program] : folders.filter(Boolean).map((folder) => join(folder, program));
  for (const path of candidates) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not there.
    }
  }
  return null;
}

/**
 * Says whether a program is installed; use it as `describe.skipIf(!need('named', 'bind9'))`.
 * A missing one is written to the list that `./test` shows at its end, with the line that installs it.
 * @throws where CI=true: there nothing may be left out.
 */
export function need(program: string, debianPackage: string): boolean {
  if (findProgram(program) !== null) return true;
  return missing(`${program}: not installed; apt-get install ${debianPackage}`);
}

/** Says whether the tests run as root, which some servers need for changing users; the same rules as {@link need}. */
export function needRoot(what: string): boolean {
  if (process.getuid?.() === 0) return true;
  return missing(`${what}: needs root; run ./test as root`);
}

/** Notes a part that cannot run here. Also for needs that are not programs, such as a Python module. */
export function missing(line: string): false {
  if (process.env.CI === 'true') throw new Error(`This test needs what is not here: ${line}`);
  const list = process.env.KEYTURN_TEST_MISSING;
  if (list !== undefined) appendFileSync(list, `${line}\n`);
  return false;
}
