import type { Command } from 'commander'

/** What commander makes of the flags that describe one job of code. */
export interface CodeFlags {
  code?: string
  codeFile?: string
  language?: string
  image?: string
  file?: string[]
  stdin?: string
  env?: string[]
  timeout?: string
  memory?: string
  artifact?: string[]
  allowInternet?: true
  id?: string
}

/** Adds the flags that describe one job of code. */
export function addCodeFlags(command: Command): Command {
  const each = (value: string, others: string[] = []): string[] => [...others, value]
  return command
    .argument('[args...]', "the program's arguments; with --image its command")
    .option('--code <text>', 'the program; - reads it from standard input')
    .option('--code-file <path>', 'the program, from a file')
    .option(
      '--language <name>',
      'what it is written in: python, node, bash, c, cpp or one of the config (default: python)',
    )
    .option('--image <image>', 'an image of your own, in place of a language')
    .option('--file <path>', 'a file that it finds in its working folder; may come often', each)
    .option('--stdin <path>', 'its standard input; - reads it from here')
    .option('--env <name=value>', 'an environment variable; may come often', each)
    .option('--timeout <seconds>', 'kill it after so long')
    .option('--memory <size>', 'memory and swap together, such as 512m')
    .option(
      '--artifact <pattern>',
      'files wanted back, such as out/**; may come often (shown with --json)',
      each,
    )
    .option('--allow-internet', 'let it reach the internet, though no private network')
    .option('--id <id>', 'name of the job (default: a random one)')
}

/** Whether the flags describe a job. */
export function isCodeGiven({ code, codeFile, image }: CodeFlags): boolean {
  return code !== undefined || codeFile !== undefined || image !== undefined
}
