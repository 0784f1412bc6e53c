import { ExactNumber } from '../../core/exact-number.ts'
import { isJsonArray, isJsonObject, type Json, type JsonObject } from '../../core/json.ts'
import type { TokenUsage } from '../../models/protocol.ts'

/** What the answer of a program says: its choices in the form that servers have, else all of it. */
export function answerOf(answer: JsonObject): { output: Json; usage?: TokenUsage } {
  const found = usageOf(answer.get('usage'))
  const usage = found === undefined ? {} : { usage: found }
  const choices = answer.get('choices')
  if (isJsonArray(choices) && choices.length > 0 && choices.every(isChoice))
    return { output: new Map([['choices', choices.map(choiceOf)]]), ...usage }
  return { output: answer, ...usage }
}

/** The text of the first choice; undefined where there is none. */
export function textOfOutput(output: Json): string | undefined {
  const choices = isJsonObject(output) ? output.get('choices') : undefined
  const first = isJsonArray(choices) ? choices[0] : undefined
  if (!isJsonObject(first)) return undefined
  const message = first.get('message')
  const text = first.get('text') ?? (isJsonObject(message) ? message.get('content') : undefined)
  return typeof text === 'string' ? text : undefined
}

function isChoice(choice: Json): choice is JsonObject {
  return isJsonObject(choice) && (choice.has('text') || choice.has('message'))
}

function choiceOf(choice: JsonObject, place: number): JsonObject {
  const [key, value]: [string, Json] = choice.has('message')
    ? ['message', choice.get('message') ?? null]
    : ['text', choice.get('text') ?? null]
  return new Map<string, Json>([
    ['index', choice.get('index') ?? ExactNumber.of(place)],
    [key, value],
    ['finish_reason', choice.get('finish_reason') ?? null],
  ])
}

function usageOf(value: Json | undefined): TokenUsage | undefined {
  if (!isJsonObject(value)) return undefined
  const count = (key: string): number | undefined => {
    const found = value.get(key)
    const number = found instanceof ExactNumber ? found.toNumber() : NaN
    return Number.isSafeInteger(number) && number >= 0 ? number : undefined
  }
  const [prompt, completion, total] = ['prompt_tokens', 'completion_tokens', 'total_tokens'].map(count)
  const usage: TokenUsage = {
    ...(prompt === undefined ? {} : { promptTokens: prompt }),
    ...(completion === undefined ? {} : { completionTokens: completion }),
    ...(total === undefined ? {} : { totalTokens: total }),
  }
  return Object.keys(usage).length === 0 ? undefined : usage
}
