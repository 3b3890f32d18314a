/** What the milter has to say. A text that costs something to make is given as a function, called only where it is wanted. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type MilterLog = (level: LogLevel, message: string | (() => string)) => void;

export const silentLog: MilterLog = () => undefined;

/** Writes lines of text from this level on. */
export function lineLog(write: (line: string) => void, from: LogLevel = 'info'): MilterLog {
  const order: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];
  const least = order.indexOf(from);
  return (level, message) => {
    if (order.indexOf(level) < least) return;
    write(`${level}: ${typeof message === 'string' ? message : message()}\n`);
  };
}
