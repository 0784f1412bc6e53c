import type { Command } from 'commander'
import type { Session } from './io.ts'

/** Adds a verb's arguments, options and action to its command. The action sets `session.exitCode`. */
export type Define = (command: Command, session: Session) => void

export interface Verb {
  name: string
  /** Arguments, as help shows them. */
  usage: string
  summary: string
  /** Loads the verb's definition; what its action needs is loaded when it runs. */
  load(): Promise<{ define: Define }>
}

/** The verbs in the order of the help. */
export const VERBS: readonly Verb[] = [
  {
    name: 'demo',
    usage: '',
    summary: 'play a whole small competition on this machine',
    load: () => import('./commands/demo.ts'),
  },
  {
    name: 'evaluator',
    usage: '[command...]',
    summary: 'evaluate solutions: take them from the queue, run the problem image, store the results',
    load: () => import('./commands/evaluator.ts'),
  },
  {
    name: 'scorer',
    usage: '[command...]',
    summary: 'score evaluations: take them from the queue, run the indicator image, store the scores',
    load: () => import('./commands/scorer.ts'),
  },
  {
    name: 'submit',
    usage: '<kind>',
    summary: 'hand in a solution',
    load: () => import('./commands/submit.ts'),
  },
  {
    name: 'results',
    usage: '<kind> [id]',
    summary: 'show results as a table and a plot, as JSON or as CSV',
    load: () => import('./commands/results.ts'),
  },
  {
    name: 'local',
    usage: '',
    summary: 'serve SQS and DynamoDB on this machine until a signal',
    load: () => import('./commands/local.ts'),
  },
  {
    name: 'config',
    usage: '<check|schema>',
    summary: 'check the config file, or print its JSON Schema',
    load: () => import('./commands/config.ts'),
  },
  {
    name: 'completion',
    usage: '<bash|zsh|fish>',
    summary: 'print a script that completes this command in your shell',
    load: () => import('./commands/completion.ts'),
  },
]
