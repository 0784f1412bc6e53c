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
    name: 'code-exec',
    usage: '[args...]',
    summary: 'run untrusted code in a sandbox: jobs of the queue, or one program here and now',
    load: () => import('./commands/code-exec.ts'),
  },
  {
    name: 'fetcher',
    usage: '',
    summary: 'run jobs with files from a worker-facing API: fetch, download, run, upload',
    load: () => import('./commands/fetcher.ts'),
  },
  {
    name: 'inference',
    usage: '[args...]',
    summary: 'call models that are kept warm: jobs of the queue, or one call here and now',
    load: () => import('./commands/inference.ts'),
  },
  {
    name: 'submit',
    usage: '<kind>',
    summary: 'hand in a solution, a program to run, or a call of a model',
    load: () => import('./commands/submit.ts'),
  },
  {
    name: 'cancel',
    usage: '<id>',
    summary: 'end a code-exec or inference job that is queued or running',
    load: () => import('./commands/cancel.ts'),
  },
  {
    name: 'results',
    usage: '<kind> [id]',
    summary: 'show results as a table and a plot, as JSON or as CSV',
    load: () => import('./commands/results.ts'),
  },
  {
    name: 'rejudge',
    usage: '[kind]',
    summary: 'delete results, failed ones for example, and queue their trials again',
    load: () => import('./commands/rejudge.ts'),
  },
  {
    name: 'exec',
    usage: '<image> [--] [args...]',
    summary: 'call an image like a function: standard input in, standard output and exit code out',
    load: () => import('./commands/exec.ts'),
  },
  {
    name: 'local',
    usage: '',
    summary: 'serve SQS, DynamoDB and S3 on this machine until a signal',
    load: () => import('./commands/local.ts'),
  },
  {
    name: 'status',
    usage: '',
    summary: 'show the runner processes of this machine',
    load: () => import('./commands/status.ts'),
  },
  {
    name: 'stop',
    usage: '<name>',
    summary: 'end a runner process after its current jobs',
    load: () => import('./commands/stop.ts'),
  },
  {
    name: 'prune',
    usage: '',
    summary: 'remove what runners left behind: containers, and images they pulled or made; shown first',
    load: () => import('./commands/prune.ts'),
  },
  {
    name: 'login',
    usage: '',
    summary: 'log in to OptHub, and keep the login for runners that are started later',
    load: () => import('./commands/login.ts'),
  },
  {
    name: 'logout',
    usage: '',
    summary: 'remove the stored login, and end it at OptHub',
    load: () => import('./commands/logout.ts'),
  },
  {
    name: 'whoami',
    usage: '',
    summary: 'show who is logged in to OptHub, if the login still works',
    load: () => import('./commands/whoami.ts'),
  },
  {
    name: 'init',
    usage: '',
    summary: 'ask for the settings, check them, and write a config file',
    load: () => import('./commands/init.ts'),
  },
  {
    name: 'doctor',
    usage: '',
    summary: 'check everything that runners need, and say what to do; touches no message',
    load: () => import('./commands/doctor.ts'),
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
