/** How a command ends: the exit codes, and the error that carries one. */

/** Documented in docs/cli.md: scripts depend on them. */
export const exitCodes = {
  ok: 0,
  /** What was looked at is not as it should be, or the present state does not allow what was asked. */
  wrong: 1,
  /** The command line or the configuration cannot be understood, or names something that is not there. */
  usage: 2,
  /** Something needed cannot be reached, is locked, or did not answer in time: trying again may help. */
  unreachable: 3,
  /** A defect of this program. */
  defect: 70,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** A failure that the reader can do something about: shown as its message, without a stack. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** Ends a command that was asked for something that it cannot understand. */
export function usage(message: string): CommandFailure {
  return new CommandFailure(exitCodes.usage, message);
}

/** Ends a command whose request the present state does not allow. */
export function refused(message: string): CommandFailure {
  return new CommandFailure(exitCodes.wrong, message);
}
