import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runFile } from './run-example.ts'

const FOLDER = fileURLToPath(new URL('../../../examples/inference', import.meta.url))
const QUIET = { PYTHONDONTWRITEBYTECODE: '1' }
const scratch = mkdtempSync(join(tmpdir(), 'inference-example-'))
const model = join(scratch, 'model.json.gz')

interface Answer {
  choices: { text: string; finish_reason: string }[]
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number }
}

beforeAll(() => {
  train(model)
})
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true })
})

function train(target: string): void {
  const env = { ...process.env, ...QUIET }
  execFileSync('python3', [join(FOLDER, 'train.py'), target], { env, stdio: 'ignore' })
}

async function ask(value: unknown): Promise<Answer> {
  const args = [join(FOLDER, 'main.py'), 'oneshot', '--model', model]
  return (await runFile('python3', args, JSON.stringify(value), QUIET)).result as Answer
}

/** What the completed program prints. */
function runs(program: string): string {
  return execFileSync('python3', ['-c', program], { encoding: 'utf8' }).trim()
}

test('training twice makes the same file', () => {
  const second = join(scratch, 'second.json.gz')
  train(second)
  expect(readFileSync(second).equals(readFileSync(model))).toBe(true)
})

describe('oneshot', () => {
  test('completes to functions that work, also under names that were never learned', async () => {
    const cases = [
      ['def fib(', 'print(fib(10))', '55'],
      ['def fibo(count):', 'print(fibo(10))', '55'],
      ['def factorial(k', 'print(factorial(5))', '120'],
      ['def gcd(first, second):\n', 'print(gcd(12, 18))', '6'],
    ] as const
    for (const [prompt, use, printed] of cases) {
      const { choices, usage } = await ask({ prompt })
      expect(choices[0]?.finish_reason).toBe('stop')
      expect(runs(`${prompt}${choices[0]?.text ?? ''}\n${use}`)).toBe(printed)
      expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens)
    }
  })

  test('max_tokens, stop, n and seed are honoured', async () => {
    const short = await ask({ prompt: 'def fib(', max_tokens: 3 })
    expect(short).toMatchObject({
      choices: [{ text: 'n):', finish_reason: 'length' }],
      usage: { completion_tokens: 3 },
    })
    const stopped = await ask({ prompt: 'def fib(', stop: ['\n'] })
    expect(stopped.choices[0]).toMatchObject({ text: 'n):', finish_reason: 'stop' })
    const random = { prompt: 'def ', n: 4, temperature: 1.5, seed: 3 }
    const [first, second] = await Promise.all([ask(random), ask(random)])
    expect(first.choices).toEqual(second.choices)
    expect(new Set(first.choices.map(({ text }) => text)).size).toBeGreaterThan(1)
  })

  test.each([
    [[], 'must be a JSON object'],
    [{}, 'prompt must be'],
    [{ prompt: 'x', temperature: 'hot' }, 'temperature must be'],
    [{ prompt: 'x', stream: true }, 'stream is not supported'],
    [{ prompt: 'x', messages: [] }, 'not both'],
    [{ messages: [1] }, 'each of messages'],
  ])('refuses %j', async (input, said) => {
    expect(await ask(input)).toMatchObject({ error: { message: expect.stringContaining(said) as string } })
  })
})

test('jsonl answers every line with its id, bad ones too', async () => {
  const lines = ['{"id": "a", "prompt": "def fib("}', 'nonsense', '{"id": 2, "prompt": 5}']
  const args = [join(FOLDER, 'main.py'), 'jsonl', '--model', model]
  const { stdout } = await runFile('python3', args, lines.join('\n'), QUIET)
  const answers = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
  expect(answers).toMatchObject([{ id: 'a', choices: [{}] }, { error: {} }, { id: 2, error: {} }])
})

test('every function of the corpus is completed to what it computes', async () => {
  const file = join(scratch, 'written.txt')
  const path = JSON.stringify(file)
  const cases: Record<string, [call: string, value: unknown][]> = {
    add: [['add(2, 3)', 5]],
    subtract: [['subtract(2, 3)', -1]],
    multiply: [['multiply(2, 3)', 6]],
    maximum: [['maximum([3, 9, 2])', 9]],
    minimum: [['minimum([3, 9, 2])', 2]],
    total: [['total([3, 9, 2])', 14]],
    product: [['product([3, 9, 2])', 54]],
    mean: [['mean([1, 2, 6])', 3]],
    average: [['average([1, 2, 6])', 3]],
    median: [
      ['median([9, 1, 4])', 4],
      ['median([9, 1, 4, 5])', 4.5],
    ],
    unique: [['unique([3, 1, 3, 2, 1])', [3, 1, 2]]],
    flatten: [['flatten([[1, 2], [], [3]])', [1, 2, 3]]],
    chunks: [['chunks([1, 2, 3, 4, 5], 2)', [[1, 2], [3, 4], [5]]]],
    linear_search: [
      ['linear_search([5, 6, 7], 7)', 2],
      ['linear_search([5], 7)', -1],
    ],
    binary_search: [['[binary_search([1, 3, 5, 7, 9], x) for x in [1, 3, 5, 7, 9, 4]]', [0, 1, 2, 3, 4, -1]]],
    bubble_sort: [['bubble_sort([3, 1, 2, 1])', [1, 1, 2, 3]]],
    quick_sort: [['quick_sort([3, 1, 2, 1])', [1, 1, 2, 3]]],
    transpose: [
      [
        'transpose([[1, 2], [3, 4]])',
        [
          [1, 3],
          [2, 4],
        ],
      ],
    ],
    dot_product: [['dot_product([1, 2], [3, 4])', 11]],
    fib: [['[fib(n) for n in range(8)]', [0, 1, 1, 2, 3, 5, 8, 13]]],
    fibonacci: [['[fibonacci(n) for n in range(8)]', [0, 1, 1, 2, 3, 5, 8, 13]]],
    factorial: [['factorial(5)', 120]],
    gcd: [['gcd(12, 18)', 6]],
    lcm: [['lcm(4, 6)', 12]],
    is_prime: [['[n for n in range(20) if is_prime(n)]', [2, 3, 5, 7, 11, 13, 17, 19]]],
    primes: [['primes(19)', [2, 3, 5, 7, 11, 13, 17, 19]]],
    is_even: [['[is_even(3), is_even(4)]', [false, true]]],
    is_odd: [['[is_odd(3), is_odd(4)]', [true, false]]],
    power: [['power(2, 10)', 1024]],
    square: [['square(5)', 25]],
    cube: [['cube(5)', 125]],
    absolute: [['[absolute(-4), absolute(4)]', [4, 4]]],
    digits: [['digits(305)', [3, 0, 5]]],
    digit_sum: [['digit_sum(305)', 8]],
    collatz: [['collatz(6)', 8]],
    clamp: [['[clamp(x, 1, 3) for x in [0, 2, 9]]', [1, 2, 3]]],
    divisors: [['divisors(12)', [1, 2, 3, 4, 6, 12]]],
    reverse: [['reverse("abc")', 'cba']],
    is_palindrome: [['[is_palindrome("abba"), is_palindrome("abc")]', [true, false]]],
    count_vowels: [['count_vowels("Education")', 5]],
    count_words: [['count_words("a b  c")', 3]],
    word_counts: [['word_counts("a b a")', { a: 2, b: 1 }]],
    is_anagram: [['[is_anagram("tea", "eat"), is_anagram("tea", "ate!")]', [true, false]]],
    capitalize_words: [['capitalize_words("ab cd")', 'Ab Cd']],
    hello: [['hello("Mia")', 'Hello, Mia!']],
    write_text: [[`write_text(${path}, "a\\nb")`, null]],
    read_lines: [[`read_lines(${path})`, ['a', 'b']]],
    read_text: [[`read_text(${path})`, 'a\nb']],
    caesar: [['caesar("Abz, y", 2)', 'Cdb, a']],
  }
  const corpus = readdirSync(join(FOLDER, 'corpus')).map((name) =>
    readFileSync(join(FOLDER, 'corpus', name), 'utf8'),
  )
  const names = corpus.flatMap((text) => [...text.matchAll(/^def (\w+)\(/gm)].map(([, name = '']) => name))
  expect(Object.keys(cases).sort()).toEqual(names.sort())

  const prompts = Object.keys(cases).map((name) => `def ${name}(`)
  const lines = prompts.map((prompt) => JSON.stringify({ prompt })).join('\n')
  const args = [join(FOLDER, 'main.py'), 'jsonl', '--model', model]
  const { stdout } = await runFile('python3', args, lines, QUIET)
  const answers = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer)
  const program = prompts.map((prompt, index) => prompt + (answers[index]?.choices[0]?.text ?? ''))
  const calls = Object.values(cases).flat()
  const uses = `import json\nprint(json.dumps([${calls.map(([call]) => call).join(', ')}]))`
  const values = JSON.parse(runs([...program, uses].join('\n'))) as unknown[]
  expect(calls.map(([call], index) => [call, values[index]])).toEqual(calls)
})

test('server speaks the OpenAI forms on a unix socket and ends at once when told', async () => {
  const socketPath = join(scratch, 'model.sock')
  const args = [join(FOLDER, 'main.py'), 'server', '--socket', socketPath, '--model', model]
  const server = spawn('python3', args, {
    env: { ...process.env, ...QUIET },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  try {
    await once(server.stderr, 'data')
    const http = async (
      path: string,
      body?: string,
    ): Promise<{ status: number | undefined; value: unknown }> => {
      const call = request({ socketPath, path, method: body === undefined ? 'GET' : 'POST' })
      call.end(body)
      const [response] = (await once(call, 'response')) as [IncomingMessage]
      const text = (await response.toArray()).join('')
      return { status: response.statusCode, value: JSON.parse(text) }
    }
    expect(await http('/health')).toMatchObject({ status: 200 })
    expect(await http('/v1/models')).toMatchObject({ value: { data: [{ id: 'tiny-python' }] } })
    const text = 'n):\n    if n < 2:\n        return n\n    return fib(n - 1) + fib(n - 2)\n'
    expect(await http('/v1/completions', '{"prompt": "def fib("}')).toMatchObject({
      status: 200,
      value: { choices: [{ text, finish_reason: 'stop' }] },
    })
    const messages = [{ role: 'user', content: 'def fib(' }]
    expect(await http('/v1/chat/completions', JSON.stringify({ messages }))).toMatchObject({
      value: { choices: [{ message: { role: 'assistant', content: text } }] },
    })
    expect(await http('/v1/completions', '{')).toMatchObject({ status: 400, value: { error: {} } })
    expect(await http('/nowhere')).toMatchObject({ status: 404, value: { error: {} } })
  } finally {
    server.kill('SIGTERM')
  }
  expect(await once(server, 'close')).toEqual([0, null])
})
