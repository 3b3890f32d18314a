/** What the demo shows: a picture that is drawn over itself at a terminal, a line for each event elsewhere. */
import type { RehearsalResult, RehearsalView } from '../control/rehearsal/rehearsal.ts';
import type { TrafficCounts } from '../control/rehearsal/traffic.ts';
import { keyKind } from './key-table.ts';
import { drawLanes } from './lanes.ts';
import { flow, painter, visibleLength } from './output.ts';
import type { Terminal } from './terminal.ts';

export interface DemoScreen {
  changed(view: RehearsalView): void;
  phase(text: string): void;
  summary(result: RehearsalResult): void;
  /** Draws no more, and leaves the last picture behind. */
  end(): void;
}

/** Milliseconds from one picture to the next. */
const frame = 120;
/** The span that the lanes show, milliseconds; it grows when the demo takes longer. */
const span = 60_000;
/** What stands in place of a compromised key's kind. */
const leaked = 'leaked';

export function createDemoScreen(terminal: Terminal, counts: () => TrafficCounts): DemoScreen {
  const start = Date.now();
  const paint = painter(terminal);
  let view: RehearsalView | null = null;
  let phase = 'starting';
  const live = terminal.interactive;
  const elapsed = () => ((Date.now() - start) / 1000).toFixed(1).padStart(5);

  const picture = (): string => {
    const { messages, signed, verified, unsigned, unverifiable, refused } = counts();
    const bad = (n: number) => paint(n === 0 ? 'green' : 'red', String(n));
    const head = [
      `${paint('bold', 'Keyturn demo')}  example.test  ${elapsed()} s  generation ${view?.snapshot.domain.generation ?? 0}`,
      `messages ${paint('bold', String(messages))}  signed ${signed}  verifications ${verified}  unsigned ${bad(unsigned)}  unverifiable ${bad(unverifiable)}`,
      ...(refused > 0
        ? [paint('dim', `${refused} signatures of the compromised key were refused, as they should be`)]
        : []),
    ];
    const now = Date.now();
    const lanes = (view?.snapshot.keys ?? []).map((key) => ({
      name: key.selector,
      kind: key.compromisedAt === null ? keyKind(key) : leaked,
      changes: view?.changes.get(key.id) ?? [],
    }));
    const to = Math.max(start + span, now + 2000);
    const drawing = drawLanes(lanes, {
      now,
      from: start,
      to,
      columns: terminal.columns,
      paint,
      dates: false,
      future: false,
    });
    const told = flow(phase.split(' '), terminal.columns - 2, ' ').map(
      (line, i) => `${i === 0 ? paint('cyan', '▸') : ' '} ${line}`,
    );
    const legend = lanes.some(({ kind }) => kind === leaked)
      ? `${leaked}: the key that was declared compromised\n`
      : '';
    return `${[...head.map((line) => cut(line, terminal.columns)), ...told].join('\n')}\n\n${drawing}${legend}`;
  };

  const draw = () => {
    const lines = picture()
      .trimEnd()
      .split('\n')
      .slice(0, Math.max(8, terminal.rows - 1));
    terminal.out(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\n')}\x1b[J`);
  };
  const timer = live ? setInterval(draw, frame) : undefined;
  // The picture has a screen of its own, and the cursor is hidden while it is drawn.
  if (live) terminal.out('\x1b[?1049h\x1b[?25l\x1b[2J');

  const told = new Map<string, string>();
  return {
    phase(text) {
      phase = text;
      if (!live) terminal.out(`${elapsed()} s  ${text}\n`);
    },
    changed(changed) {
      view = changed;
      if (live) return;
      for (const key of changed.snapshot.keys) {
        if (told.get(key.id) === key.state) continue;
        told.set(key.id, key.state);
        terminal.out(
          `${elapsed()} s    ${key.selector} (${keyKind(key)}) is ${key.state}; ${counts().messages} messages so far\n`,
        );
      }
    },
    end() {
      clearInterval(timer);
      if (!live) return;
      terminal.out(`\x1b[?25h\x1b[?1049l${picture().trimEnd()}\n\n`);
    },
    summary({ messages, verified, unsigned, unverifiable, rotations, emergencies, seconds, failures }) {
      const good = unsigned === 0 && unverifiable === 0;
      terminal.out(
        `${paint(good ? 'green' : 'red', good ? 'Nothing was lost' : 'Something was lost')}: ${messages} messages in ${seconds} s through ${rotations} rotations and ${emergencies} emergency, ${unsigned} unsigned, ${unverifiable} unverifiable, ${verified} verifications passed.\n`,
      );
      for (const failure of failures) terminal.out(`  ${failure}\n`);
    },
  };
}

/** Cut to the terminal's width where it is too long; colour codes count for nothing, and are dropped with what is cut. */
function cut(line: string, columns: number): string {
  if (visibleLength(line) <= columns) return line;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with the escape character
  return `${line.replace(/\x1b\[\d+m/g, '').slice(0, columns - 1)}…`;
}
