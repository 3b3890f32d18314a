/** What would become of this agent if it were started: each thing that has to be right, one after the other. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../../lifecycle/clock.ts';
import { roughDuration } from '../../../settings/durations.ts';
import { lockInstance } from '../../instance-lock.ts';
import { errorText, silentLog } from '../../log.ts';
import { checkAnswer } from '../wire.ts';
import type { LoadedAgentConfig } from './config.ts';
import { LinkError } from './link.ts';
import { linkOf } from './link-of.ts';
import { abilitiesOf, createLocalSigners } from './local-signers.ts';
import { readStatus } from './status.ts';

export interface Checked {
  readonly verdict: 'right' | 'wrong' | 'away' | 'note';
  readonly what: string;
}

/** Neither greets nor takes the name: it may be asked beside a running agent. */
export async function checkControl(
  loaded: LoadedAgentConfig,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Checked[]> {
  const found: Checked[] = [];
  let ahead = 0;
  const link = linkOf(loaded, env, {
    boot: '00000000-0000-0000-0000-000000000000',
    now: () => Date.now(),
    onTime: (theirs, asked, heard) => {
      ahead = Date.now() - (performance.now() - (asked + heard) / 2) - theirs;
    },
  });
  try {
    for (const _ of loaded.config.control.url) {
      const { host } = new URL(link.url);
      try {
        const said = await link.call({ method: 'GET', path: 'check', answer: checkAnswer });
        found.push({ verdict: 'right', what: `Keyturn at ${host} knows this agent as ${said.name}` });
        found.push(...compare(loaded, said));
        found.push(
          Math.abs(ahead) > 60_000
            ? {
                verdict: 'wrong',
                what: `the clock here is ${roughDuration(ahead)} ahead of the one there: see to the time service`,
              }
            : { verdict: 'right', what: 'the clocks here and there agree' },
        );
        if (said.held !== null)
          found.push({ verdict: 'note', what: `an agent on ${said.held} runs as ${said.name} now` });
      } catch (error) {
        if (!(error instanceof LinkError)) throw error;
        found.push({ verdict: error.kind === 'away' ? 'away' : 'wrong', what: error.message });
      }
      link.next();
    }
  } finally {
    link.close();
  }
  return [...found, ...(await checkSigners(loaded, env))];
}

/** Where an agent runs, it says itself how its signers are; where none does, they are made and closed again. */
async function checkSigners(loaded: LoadedAgentConfig, env: Parameters<typeof checkControl>[1]): Promise<Checked[]> {
  const { dataFolder } = loaded;
  const lock = existsSync(dataFolder) ? lockInstance(dataFolder, 'agent') : undefined;
  if (lock === null) {
    const status = readStatus(dataFolder);
    if (status === null)
      return [{ verdict: 'note', what: 'an agent runs here, and has not said yet how its signers are' }];
    const { troubles, domains, behind } = status;
    return [
      ...troubles.map(({ domain, message }): Checked => ({ verdict: 'wrong', what: `${domain}: ${message}` })),
      {
        verdict: behind === 0 ? 'right' : 'wrong',
        what: `the signers of the agent that runs here have the newest keyrings of ${domains - behind} of ${domains} domains`,
      },
    ];
  }
  try {
    const signers = await createLocalSigners({ loaded, env, clock: systemClock, log: silentLog });
    await signers.close();
    const isFirst = !existsSync(join(dataFolder, 'keyrings.cache'));
    return [
      {
        verdict: 'right',
        what: `its signers can be used: ${signers.names.map(({ name, kind }) => `${name} (${kind})`).join(', ')}`,
      },
      {
        verdict: 'note',
        what: isFirst
          ? 'it has no keyrings yet: it opens its sockets when it has been given all of them'
          : 'it has keyrings from before: it signs by them from its start on',
      },
    ];
  } catch (error) {
    return [{ verdict: 'wrong', what: errorText(error) }];
  } finally {
    lock?.release();
  }
}

function compare(
  loaded: LoadedAgentConfig,
  said: { readonly name: string; readonly algorithms: readonly string[]; readonly atMost: number | null },
): Checked[] {
  const { algorithms, atMost } = abilitiesOf(loaded.config);
  const lacking = said.algorithms.filter((algorithm) => !algorithms.some((each) => each === algorithm));
  if (lacking.length > 0)
    return [
      {
        verdict: 'wrong',
        what: `no signer here signs with ${lacking.join(' or ')}: say \`algorithms: [${algorithms.join(', ')}]\` for ${said.name} in keyturn.yaml`,
      },
    ];
  if (atMost !== null && (said.atMost === null || said.atMost > atMost))
    return [
      {
        verdict: 'wrong',
        what: `a signer here signs with ${atMost} keys of a stream at most: say \`atMost: ${atMost}\` for ${said.name} in keyturn.yaml`,
      },
    ];
  return [
    { verdict: 'right', what: `the signers here can do what ${said.name} is to do: ${said.algorithms.join(', ')}` },
  ];
}
