/** Finds, reads and checks the configuration. Errors name the file, line, column and setting, and the name that was probably meant. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { isNode, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { nearest } from './nearest.ts';
import { type Config, configSchema } from './schema.ts';

/** Everything that is wrong with a configuration, one line each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(
      problems.length === 1
        ? (problems[0] ?? '')
        : `the configuration has ${problems.length} problems:\n  ${problems.join('\n  ')}`,
    );
    this.problems = problems;
  }
}

export interface LoadedConfig {
  /** The file that was read; null where there is none and all settings are the defaults. */
  readonly file: string | null;
  readonly config: Config;
  /** Absolute folder of the database. */
  readonly dataFolder: string;
  /** Absolute file of the key-encryption key. */
  readonly kekFile: string;
}

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly workingFolder: string;
}

/**
 * The configuration in force: `given` (from `--config`), else KEYTURN_CONFIG, else ./keyturn.yaml, else /etc/keyturn/keyturn.yaml,
 * else all defaults. Paths in the file are relative to the file.
 *
 * @throws ConfigError where a file that was named cannot be read, or what it says is wrong.
 */
export function loadConfig(given: string | undefined, { env, workingFolder }: Surroundings): LoadedConfig {
  const named = given ?? (env.KEYTURN_CONFIG === '' ? undefined : env.KEYTURN_CONFIG);
  const usual = [join(workingFolder, 'keyturn.yaml'), '/etc/keyturn/keyturn.yaml'];
  const file = named === undefined ? usual.find((path) => existsSync(path)) : resolve(workingFolder, named);
  const config = file === undefined ? configSchema.parse({}) : parseConfig(readConfig(file), file);
  const base = file === undefined ? workingFolder : dirname(file);
  const systemFolder = '/var/lib/keyturn';
  const dataFolder = resolve(base, config.data ?? (existsSync(systemFolder) ? systemFolder : '.keyturn'));
  return {
    file: file ?? null,
    config,
    dataFolder,
    kekFile: config.kekFile === undefined ? join(dataFolder, 'kek') : resolve(base, config.kekFile),
  };
}

/** A path that the configuration names: relative ones are beside its file. */
export function pathBeside(file: string | null, written: string): string {
  return resolve(file === null ? '.' : dirname(file), written);
}

export function readConfig(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError([`cannot read the configuration file ${file}: ${reason}`]);
  }
}

/** Checks the text of a configuration file; `file` only serves the messages. */
export function parseConfig(text: string, file: string): Config {
  return parseSettings(text, file, configSchema);
}

/** The same for a file with other settings. @throws ConfigError naming each problem's place. */
export function parseSettings<S extends z.ZodType>(text: string, file: string, schema: S): z.output<S> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  const at = (offset: number | undefined) => {
    if (offset === undefined) return file;
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    throw new ConfigError(document.errors.map((e) => `${at(e.pos[0])}: ${e.message.split('\n')[0] ?? 'not YAML'}`));
  }
  const written: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  const result = schema.safeParse(written);
  if (result.success) return result.data;
  const place = (path: readonly PropertyKey[]) => {
    for (let depth = path.length; depth >= 0; depth--) {
      const node = document.getIn(path.slice(0, depth), true);
      if (isNode(node) && node.range) return at(node.range[0]);
    }
    return file;
  };
  throw new ConfigError(
    result.error.issues.flatMap((issue) => {
      if (issue.code !== 'unrecognized_keys')
        return [`${place(issue.path)}: ${settingName(issue.path)}${plainly(issue.message)}`];
      const known = knownSettings(schema, issue.path, written);
      return issue.keys.map((key) => {
        const meant = nearest(key, known);
        const hint = meant === null ? `known here: ${known.join(', ')}` : `did you mean ${meant}?`;
        return `${place([...issue.path, key])}: ${settingName([...issue.path, key])}there is no such setting (${hint})`;
      });
    }),
  );
}

/** Zod's words for what people meet most, in ours. */
function plainly(message: string): string {
  const missing = /^Invalid input: expected (.+), received undefined$/.exec(message);
  if (missing !== null) return `is missing (expected ${missing[1]})`;
  return message.replace(/^Invalid (?:input|option): /, '');
}

function settingName(path: readonly PropertyKey[]): string {
  if (path.length === 0) return '';
  return `${path.map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i > 0 ? '.' : ''}${String(part)}`)).join('')}: `;
}

/** The configuration's JSON Schema, for editors. */
export function configJsonSchema(): Record<string, unknown> {
  return jsonSchemaOf(configSchema);
}

function jsonSchemaOf(schema: z.ZodType): Record<string, unknown> {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
}

/** Names of the settings that may stand at this path; of entries that have a `kind`, those of the kind that is written there. */
function knownSettings(schema: z.ZodType, path: readonly PropertyKey[], written: unknown): string[] {
  let here: unknown[] = [jsonSchemaOf(schema)];
  let there = written;
  for (const part of path) {
    here = here.flatMap((each) => below(each, part));
    there = value(there, String(part));
    const kind = value(there, 'kind');
    const ofKind = here.filter((each) => value(field(each, 'properties').kind, 'const') === kind);
    if (kind !== undefined && ofKind.length > 0) here = ofKind;
  }
  return [...new Set(here.flatMap((each) => Object.keys(field(each, 'properties'))))];
}

function below(schema: unknown, part: PropertyKey): unknown[] {
  const next =
    typeof part === 'number'
      ? value(schema, 'items')
      : (field(schema, 'properties')[String(part)] ?? value(schema, 'additionalProperties'));
  return variants(next);
}

function variants(schema: unknown): unknown[] {
  const either = value(schema, 'anyOf') ?? value(schema, 'oneOf');
  return Array.isArray(either) ? either.flatMap(variants) : schema === undefined ? [] : [schema];
}

function value(schema: unknown, key: string): unknown {
  return typeof schema === 'object' && schema !== null ? (schema as Record<string, unknown>)[key] : undefined;
}

function field(schema: unknown, key: string): Record<string, unknown> {
  const found = value(schema, key);
  return typeof found === 'object' && found !== null ? (found as Record<string, unknown>) : {};
}
