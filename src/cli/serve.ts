/** `keyturn serve`: all roles of this machine, until told to stop. */
import { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { globals, withExamples } from './context.ts';
import { CommandFailure, exitCodes } from './exit.ts';

export function serveCommand({ terminal, stop }: CommandContext): Command {
  const command = new Command('serve').description(
    'Run the server: the reconciler, the signing milter and, where zones are configured, the DNS server. Ends on SIGTERM or SIGINT, once what is under way is finished.',
  );
  withExamples(command, [
    ['keyturn serve', 'with ./keyturn.yaml, or with all defaults'],
    ['keyturn serve --config /etc/keyturn/keyturn.yaml', 'as a service'],
  ]);
  return command.action(async () => {
    const [{ loadConfig }, { configWarnings }, { createLog }, server, feed, { systemClock }] = await Promise.all([
      import('../control/config/load.ts'),
      import('../control/config/warnings.ts'),
      import('../control/log.ts'),
      import('../control/server.ts'),
      import('../control/keyring-feed/milter.ts'),
      import('../lifecycle/clock.ts'),
    ]);
    const { config, json } = globals(command);
    const loaded = loadConfig(config, { env: terminal.env, workingFolder: process.cwd() });
    const { level, format } = loaded.config.log;
    const log = createLog({
      level,
      format: format === 'auto' ? (json || process.stderr.isTTY !== true ? 'json' : 'text') : format,
      write: terminal.err,
      now: () => systemClock.now(),
    });
    for (const warning of configWarnings(loaded.config)) log.warn('configuration', { warning });
    try {
      const options = { loaded, env: terminal.env, clock: systemClock, log };
      await using running = feed.followsRedis(loaded.config)
        ? await feed.startFollowingMilter({ ...options, signal: stop })
        : await server.startServer(options);
      if (!stop.aborted)
        await new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }));
      log.info('stopping');
      await running.stop();
      log.info('stopped');
    } catch (error) {
      // A milter that was still waiting to be known.
      if (stop.aborted && error === stop.reason) return;
      if (error instanceof Error && error.name === 'InstanceTaken')
        throw new CommandFailure(exitCodes.unreachable, error.message);
      if (error instanceof Error && error.name === 'StoreOlder')
        throw new CommandFailure(exitCodes.wrong, error.message);
      if (error instanceof Error && ['ConfigError', 'StoreError'].includes(error.name)) throw error;
      // What is left are sockets that cannot be opened; the error names the address.
      throw new CommandFailure(exitCodes.unreachable, error instanceof Error ? error.message : String(error), {
        cause: error,
      });
    }
  });
}
