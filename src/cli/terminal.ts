/** Where a command writes, and what the other end can show. Given to commands, so that tests run them without a process. */
export interface Terminal {
  /** Writes to standard output, exactly as given. */
  out(text: string): void;
  /** Writes to standard error, exactly as given. */
  err(text: string): void;
  /** All of standard input; empty where it is a terminal. */
  readInput(): Promise<Buffer>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly interactive: boolean;
  /** Colours are for people at a terminal, and never where NO_COLOR is set to anything (no-color.org). */
  readonly color: boolean;
  readonly columns: number;
  readonly rows: number;
}

/** The terminal of this process. A reader that closes its end (`keyturn … | head`) ends the program quietly. */
export function processTerminal(): Terminal {
  const { stdout, stderr, env } = process;
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    readInput: async () => {
      if (process.stdin.isTTY) return Buffer.alloc(0);
      const chunks: Buffer[] = [];
      for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk));
      return Buffer.concat(chunks);
    },
    env,
    interactive: stdout.isTTY === true,
    color: stdout.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb',
    get columns() {
      return stdout.columns ?? 100;
    },
    get rows() {
      return stdout.rows ?? 40;
    },
  };
}
