/** `keyturn completion`: scripts that are generated from the command tree itself, so that they cannot fall behind it. */
import { Argument, Command } from 'commander';
import type { CommandContext } from './context.ts';
import { withExamples } from './context.ts';

/** One place in the command tree: the words typed so far and what may follow them. */
interface Place {
  readonly words: string;
  readonly next: ReadonlyArray<{ readonly word: string; readonly about: string }>;
}

export function completionCommand(context: CommandContext): Command {
  const command = new Command('completion').description('Print a completion script for your shell.');
  command.addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']));
  withExamples(command, [
    ['keyturn completion bash > /etc/bash_completion.d/keyturn', 'for every user'],
    ['source <(keyturn completion zsh)', 'for this shell'],
    ['keyturn completion fish > ~/.config/fish/completions/keyturn.fish', 'for fish'],
  ]);
  return command.action(async (shell: string) => {
    const { buildProgram } = await import('./program.ts');
    const places = walk(await buildProgram(context, 'all'), '');
    const script = shell === 'fish' ? fish(places) : shell === 'zsh' ? zsh(places) : bash(places);
    context.terminal.out(script);
  });
}

function walk(command: Command, words: string): Place[] {
  const options = [...command.options, ...(words === '' ? [] : globalOptions(command))];
  const next = [
    ...command.commands.map((child) => ({ word: child.name(), about: child.description() })),
    ...command.registeredArguments.flatMap((arg) => (arg.argChoices ?? []).map((word) => ({ word, about: '' }))),
    ...options.flatMap(({ long, description }) =>
      long === undefined || long === null ? [] : [{ word: long, about: description }],
    ),
    { word: '--help', about: 'show help' },
  ];
  return [{ words, next }, ...command.commands.flatMap((child) => walk(child, `${words} ${child.name()}`.trim()))];
}

function globalOptions(command: Command): Command['options'] {
  let top = command;
  while (top.parent !== null) top = top.parent;
  return top.options.filter((option) => option.long !== '--version');
}

function bash(places: readonly Place[]): string {
  const cases = places
    .map(({ words, next }) => `    '${words}') next='${next.map((n) => n.word).join(' ')}' ;;`)
    .join('\n');
  return `_keyturn() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words='' next='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] || words="\${words:+$words }$word"
  done
  while :; do
    case "$words" in
${cases}
    esac
    [[ -n $next || -z $words ]] && break
    [[ $words == *' '* ]] && words="\${words% *}" || words=''
  done
  mapfile -t COMPREPLY < <(compgen -W "$next" -- "$current")
}
complete -o default -F _keyturn keyturn
`;
}

function zsh(places: readonly Place[]): string {
  const quote = (text: string) => text.replaceAll("'", "'\\''").replaceAll(':', '\\:');
  const cases = places
    .map(({ words, next }) => {
      const entries = next.map(({ word, about }) => `'${quote(word)}${about === '' ? '' : `:${quote(about)}`}'`);
      return `    '${words}') next=(${entries.join(' ')}) ;;`;
    })
    .join('\n');
  return `#compdef keyturn
_keyturn() {
  local -a typed next
  typed=(\${\${words[2,CURRENT-1]}:#-*})
  while :; do
    case "\${(j: :)typed}" in
${cases}
    esac
    (( $#next || ! $#typed )) && break
    typed=(\${typed[1,-2]})
  done
  _describe keyturn next || _files
}
compdef _keyturn keyturn
`;
}

function fish(places: readonly Place[]): string {
  const quote = (text: string) => text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
  const lines = places.flatMap(({ words, next }) =>
    next.map(({ word, about }) => {
      const condition =
        words === ''
          ? word.startsWith('--')
            ? ''
            : ` -n __fish_use_subcommand`
          : ` -n '${words
              .split(' ')
              .map((part) => `__fish_seen_subcommand_from ${part}`)
              .join('; and ')}'`;
      const what = word.startsWith('--') ? ` -l ${word.slice(2)}` : ` -f -a ${word}`;
      return `complete -c keyturn${condition}${what}${about === '' ? '' : ` -d '${quote(about)}'`}`;
    }),
  );
  return `${lines.join('\n')}\n`;
}
