/** What would become of this agent if it were started: each thing that has to be right, one after the other. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { roughDuration } from '../../../settings/durations.ts';
import { checkAnswer } from '../wire.ts';
import { linkOf } from './agent.ts';
import type { LoadedAgentConfig } from './config.ts';
import { LinkError } from './link.ts';
import { abilitiesOf } from './local-signers.ts';

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
  const isFirst = !existsSync(join(loaded.dataFolder, 'keyrings.cache'));
  found.push({
    verdict: 'note',
    what: isFirst
      ? 'it has no keyrings yet: it opens its sockets when it has been given all of them'
      : 'it has keyrings from before: it signs by them from its start on',
  });
  return found;
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
