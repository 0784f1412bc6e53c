import { ExactNumber } from '../core/exact-number.ts'
import type { Json, JsonObject } from '../core/json.ts'

/** One of the texts that a prompt was completed with. */
export interface TextChoice {
  text: string
  /** null where the server doesn't tell. */
  finishReason: string | null
}

/** The normalised output of a completion. */
export function completionOf(choices: readonly TextChoice[]): JsonObject {
  const list = choices.map(
    ({ text, finishReason }, index) =>
      new Map<string, Json>([
        ['index', ExactNumber.of(index)],
        ['text', text],
        ['finish_reason', finishReason],
      ]),
  )
  return new Map([['choices', list]])
}
