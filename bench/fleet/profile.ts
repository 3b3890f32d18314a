/** Which part of the program the JavaScript thread was busy with: a sampling profile, summed up by folders of the source. */
import { Session } from 'node:inspector/promises';

export interface Share {
  readonly part: string;
  /** Seconds of the thread. */
  readonly seconds: number;
}

export async function startProfile(): Promise<{ stop(): Promise<readonly Share[]> }> {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 1000 });
  await session.post('Profiler.start');
  return {
    async stop() {
      const { profile } = await session.post('Profiler.stop');
      session.disconnect();
      const parents = new Map<number, number>();
      const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
      for (const node of profile.nodes) for (const child of node.children ?? []) parents.set(child, node.id);
      /** Node's own functions count for whoever of ours, or of a package, called them. */
      const partOf = (id: number): string => {
        for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
          const frame = nodes.get(at)?.callFrame;
          if (frame?.functionName === '(idle)') return 'idle';
          if (frame?.functionName === '(garbage collector)') return 'garbage collection';
          const part = nameOf(frame?.url ?? '');
          if (part !== null) return part;
        }
        return 'Node itself';
      };
      const seconds = new Map<string, number>();
      profile.samples?.forEach((id, i) => {
        const part = partOf(id);
        seconds.set(part, (seconds.get(part) ?? 0) + (profile.timeDeltas?.[i] ?? 0) / 1e6);
      });
      return [...seconds]
        .map(([part, sum]) => ({ part, seconds: sum }))
        .filter(({ part }) => part !== 'idle')
        .toSorted((a, b) => b.seconds - a.seconds);
    },
  };
}

function nameOf(url: string): string | null {
  const own = /\/(?:src|bench)\/([a-z]+(?:\/[a-z-]+(?=\/))?)/.exec(url);
  if (own?.[1] !== undefined && !url.includes('/node_modules/')) return own[1];
  const parts = url.split('/node_modules/');
  return parts.length > 1 ? `${parts.at(-1)?.split('/')[0]} (package)` : null;
}
