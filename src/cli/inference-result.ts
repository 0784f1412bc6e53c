import { EXIT } from '../core/errors.ts'
import { formatJson, isJsonObject } from '../core/json.ts'
import { textOfOutput } from '../kinds/inference/answer.ts'
import type { Item } from '../stores/store.ts'
import { textOf } from './code-result.ts'
import type { Io } from './io.ts'

/** Prints the answer that an item holds, or on stderr why there is none; says the exit code. */
export function printAnswer(item: Item, io: Io): number {
  const status = textOf(item, 'Status')
  if (status === 'succeeded') {
    const location = textOf(item, 'OutputLocation')
    const output = item['Output'] ?? null
    if (output === null && location !== '') io.stderr.write(`opthub-runner: the answer is at ${location}\n`)
    else io.stdout.write(withNewline(textOfOutput(output) ?? formatJson(output)))
    return EXIT.drained
  }
  const error = isJsonObject(item['Error']) ? item['Error'] : new Map<string, never>()
  const [type, message] = [error.get('Type'), error.get('Message')]
  const why = [type, message].filter((part) => typeof part === 'string').join(': ')
  const tail = textOf(item, 'LogsTail')
  if (tail !== '') io.stderr.write(withNewline(tail))
  io.stderr.write(`opthub-runner: ${status}${why === '' ? '' : `: ${why}`}\n`)
  return EXIT.failedStart
}

function withNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`
}
