import type { Command } from 'commander'
import { createCommand } from './command.ts'
import type { Session } from './io.ts'
import { VERBS } from './verbs.ts'

/** The shells that a script can be made for. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const

/** What may follow a verb, or a verb and its second word. */
interface Place {
  /** One or two words. */
  words: readonly string[]
  summary: string
  options: {
    long: string
    short: string | undefined
    takesFile: boolean
    takesValue: boolean
    summary: string
  }[]
  /** Second words. */
  next: readonly string[]
}

/** A script for the shell, made of the verbs' own definitions. */
export async function completionScript(shell: (typeof SHELLS)[number], session: Session): Promise<string> {
  const places: Place[] = []
  for (const verb of VERBS) {
    const command = createCommand(verb, session.io)
    const { define } = await verb.load()
    define(command, session)
    places.push(placeOf(command, [verb.name], verb.summary))
    for (const inner of command.commands) {
      places.push(placeOf(inner, [verb.name, inner.name()], inner.description()))
    }
  }
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](places)
}

function placeOf(command: Command, words: readonly string[], summary: string): Place {
  const options = command.options.map((option) => ({
    long: option.long ?? '',
    short: option.short,
    takesFile: /<(file|path)>/.test(option.flags),
    takesValue: option.required,
    summary: option.description,
  }))
  const names = command.commands.map((inner) => inner.name())
  return { words, summary, options, next: words[0] === 'completion' ? SHELLS : names }
}

function wordsAfter({ options, next }: Place): string {
  return [...next, ...options.map(({ long }) => long), '--help'].join(' ')
}

function fileOptions(places: readonly Place[]): string {
  const found = places.flatMap(({ options }) => options.filter(({ takesFile }) => takesFile))
  return [
    ...new Set(found.flatMap(({ long, short }) => (short === undefined ? [long] : [short, long]))),
  ].join('|')
}

function verbNames(): string {
  return [...VERBS.map(({ name }) => name), 'help', '--help', '--version'].join(' ')
}

/** `evaluator\ *` or `submit\ evaluator`, as a pattern for `case`. */
function casePattern({ words }: Place): string {
  return words.length === 2 ? words.join('\\ ') : `${words.join('')}\\ *`
}

/** Two words are tried before one. */
function cases(places: readonly Place[], line: (place: Place) => string): string[] {
  return [...places]
    .sort((a, b) => b.words.length - a.words.length)
    .map((place) => `    ${casePattern(place)}) ${line(place)} ;;`)
}

function bashScript(places: readonly Place[]): string {
  return `# bash completion of opthub-runner
_opthub_runner() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD - 1]}" words=''
  case "$prev" in
    ${fileOptions(places)}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='${verbNames()}'
  else
    local second=''
    [ "$COMP_CWORD" -gt 2 ] && second="\${COMP_WORDS[2]}"
    case "\${COMP_WORDS[1]} $second" in
${cases(places, (place) => `words='${wordsAfter(place)}'`)
  .map((line) => `  ${line}`)
  .join('\n')}
      help\\ *) words='${VERBS.map(({ name }) => name).join(' ')}' ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o bashdefault -F _opthub_runner opthub-runner runner
`
}

function zshScript(places: readonly Place[]): string {
  return `#compdef opthub-runner runner
_opthub_runner() {
  local -a reply
  case "\${words[CURRENT - 1]}" in
    ${fileOptions(places)}) _files; return ;;
  esac
  if (( CURRENT == 2 )); then
    reply=(${verbNames()})
  else
    local second=''
    (( CURRENT > 3 )) && second="\${words[3]}"
    case "\${words[2]} $second" in
${cases(places, (place) => `reply=(${wordsAfter(place)})`)
  .map((line) => `  ${line}`)
  .join('\n')}
      help\\ *) reply=(${VERBS.map(({ name }) => name).join(' ')}) ;;
    esac
  fi
  compadd -a reply
}
compdef _opthub_runner opthub-runner runner
`
}

function fishScript(places: readonly Place[]): string {
  const lines = [
    '# fish completion of opthub-runner',
    'for name in opthub-runner runner',
    '  complete -c $name -f',
  ]
  for (const { words, summary, options, next } of places) {
    const [verb = '', inner] = words
    const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ')
    if (inner === undefined) {
      lines.push(`  complete -c $name -n __fish_use_subcommand -a ${verb} -d ${quote(summary)}`)
      for (const word of next) {
        const notYet = `${seen}; and not __fish_seen_subcommand_from ${next.join(' ')}`
        lines.push(`  complete -c $name -n ${quote(notYet)} -a ${word}`)
      }
    }
    for (const { long, short, takesFile, takesValue, summary: text } of options) {
      const flags = [
        `-l ${long.replace(/^--/, '')}`,
        short === undefined ? '' : `-s ${short.replace(/^-/, '')}`,
      ]
      const value = takesFile ? '-rF' : takesValue ? '-x' : ''
      const parts = [...flags, value, `-d ${quote(text)}`].filter((part) => part !== '')
      lines.push(`  complete -c $name -n ${quote(seen)} ${parts.join(' ')}`)
    }
  }
  return `${[...lines, 'end'].join('\n')}\n`
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
