import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface ExampleRun {
  exitCode: number | null
  stdout: string
  stderr: string
  /** The last line of stdout, as JSON. */
  result: unknown
}

/** Runs an example as its container would: a process of its own, `input` on stdin, then its end. */
export async function runExample(
  path: string,
  input: string,
  environment: Record<string, string> = {},
): Promise<ExampleRun> {
  const file = fileURLToPath(new URL(`../../../examples/${path}`, import.meta.url))
  const program = path.endsWith('.py') ? 'python3' : process.execPath
  return runFile(program, [file], input, environment)
}

export async function runFile(
  program: string,
  args: readonly string[],
  input: string,
  environment: Record<string, string>,
): Promise<ExampleRun> {
  const child = spawn(program, args, { env: { PATH: process.env.PATH, ...environment } })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  // One that fails before it reads closes the pipe on us.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const [exitCode] = (await once(child, 'close')) as [number | null]
  return { exitCode, ...output, result: JSON.parse(output.stdout.trimEnd().split('\n').at(-1) ?? '') }
}
