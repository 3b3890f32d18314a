/** Secrets in settings: passwords, tokens, API keys. Best kept in a file of their own, so that `keyturn.yaml` can be shown to anybody. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** In the configuration itself (`"…"`), in a file (`{file: PATH}`), or in the environment (`{env: NAME}`). */
export const secret = z.union([
  z.string().min(1),
  z.strictObject({ file: z.string().min(1) }),
  z.strictObject({ env: z.string().min(1) }),
]);

export type SecretSetting = z.output<typeof secret>;

/**
 * The secret itself, without a final newline. `path` makes a written path absolute.
 * @throws Error naming the file or the variable, never the secret.
 */
export function readSecret(
  setting: SecretSetting,
  {
    path,
    env,
  }: { readonly path: (written: string) => string; readonly env: Readonly<Record<string, string | undefined>> },
): string {
  if (typeof setting === 'string') return setting;
  if ('env' in setting) {
    const value = env[setting.env];
    if (value === undefined || value === '') throw new Error(`the environment variable ${setting.env} is not set`);
    return value;
  }
  const file = path(setting.file);
  let text: string;
  try {
    text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new Error(`cannot read the secret in ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (text === '') throw new Error(`${file} is empty; a secret is expected there`);
  return text;
}
