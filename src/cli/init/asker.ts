import { EXIT, OperatorError } from '../../core/errors.ts'
import type { Io } from '../io.ts'

interface Question {
  /** Names it where nobody can be asked. */
  flag: string
  message: string
  /** What the flag says, if it was given. */
  given: string | undefined
  /** What is wrong with an answer. */
  validate?: (answer: string) => string | undefined
}

export interface TextQuestion extends Question {
  /** What stands there already. */
  suggested?: string | undefined
}

export interface Choice<T extends string> {
  value: T
  name: string
}

/** Where answers come from: flags, and a person where there is one. */
export interface Asker {
  readonly isPerson: boolean
  text(question: TextQuestion): Promise<string>
  /** Shows nothing of what is typed. */
  secret(question: Question): Promise<string>
  /** Of several; `fallback` is taken where nobody can be asked. */
  choose<T extends string>(question: {
    message: string
    choices: readonly Choice<T>[]
    fallback: T
  }): Promise<T>
  /** Throws OperatorError naming every flag that was missing. */
  finish(): void
}

/** Takes flags only. */
export function createFlagAsker(): Asker {
  const missing: string[] = []
  const take = (question: TextQuestion): Promise<string> => {
    if (question.given !== undefined) return Promise.resolve(checked(question.given, question))
    if (question.suggested !== undefined) return Promise.resolve(question.suggested)
    missing.push(question.flag)
    return Promise.resolve('')
  }
  return {
    isPerson: false,
    text: take,
    secret: take,
    choose: ({ fallback }) => Promise.resolve(fallback),
    finish() {
      if (missing.length === 0) return
      throw new OperatorError(
        `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing`,
        'there is no terminal to ask at',
        `Add ${missing.join(', ')}, or run it at a terminal.`,
        EXIT.usage,
      )
    },
  }
}

/** Asks whoever sits at the terminal; what flags say is not asked. */
export async function createPromptAsker(io: Io): Promise<Asker> {
  const { input, password, select } = await import('@inquirer/prompts')
  // Prompts are no results.
  const context = { input: io.stdin, output: io.stderr as unknown as NodeJS.WritableStream }
  const validator =
    ({ validate }: Question) =>
    (answer: string): string | true =>
      answer.trim() === '' ? 'An answer is needed.' : (validate?.(answer.trim()) ?? true)
  return {
    isPerson: true,
    async text(question) {
      const { given, message, suggested } = question
      if (given !== undefined) return checked(given, question)
      const answer = await input(
        {
          message,
          validate: validator(question),
          ...(suggested !== undefined && { default: suggested, prefill: 'editable' as const }),
        },
        context,
      )
      return answer.trim()
    },
    async secret(question) {
      const { given, message } = question
      if (given !== undefined) return checked(given, question)
      return (await password({ message, mask: '*', validate: validator(question) }, context)).trim()
    },
    async choose({ message, choices, fallback }) {
      return await select({ message, choices: [...choices], default: fallback }, context)
    },
    finish: () => undefined,
  }
}

function checked(answer: string, { flag, validate }: Question): string {
  const problem = validate?.(answer)
  if (problem === undefined) return answer
  throw new OperatorError(`${flag} ${problem}`, '', 'Give another value.', EXIT.usage)
}
