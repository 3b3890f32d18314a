/** One structured line per event on standard error: text for people, JSON for machines. Never key material: only plain facts go in. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

const order: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** `write` is handed whole lines. */
export function createLog(options: {
  readonly level: LogLevel;
  readonly format: 'text' | 'json';
  readonly write: (line: string) => void;
  readonly now: () => number;
}): Log {
  const least = order.indexOf(options.level);
  const at =
    (level: LogLevel) =>
    (event: string, fields: LogFields = {}) => {
      if (order.indexOf(level) < least) return;
      const time = new Date(options.now()).toISOString();
      options.write(
        options.format === 'json'
          ? `${JSON.stringify({ time, level, event, ...fields })}\n`
          : `${time} ${level.padEnd(5)} ${event}${Object.entries(fields)
              .map(([key, value]) => ` ${key}=${textValue(value)}`)
              .join('')}\n`,
      );
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** Values with spaces, quotes or control characters are written as JSON strings, so that one event stays one line. */
function textValue(value: LogFields[string]): string {
  if (typeof value === 'string') return /^[\w.:/@+*-]+$/.test(value) ? value : JSON.stringify(value);
  return typeof value === 'object' && value !== null ? value.map(textValue).join(',') : String(value);
}

/** An error's own words, for a log field or a condition. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
