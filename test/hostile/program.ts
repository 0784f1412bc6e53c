import { readdirSync, readFileSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import type { CodeExecStatus } from '../../src/records/code-exec.ts'

/** How a program must end; what is left out is not looked at. */
export interface Expected {
  /** More than one where chance decides. */
  status: CodeExecStatus | readonly CodeExecStatus[]
  exit?: number
  signal?: string
  oom?: boolean
  /** Which of the two times ran out. */
  limit?: 'wall' | 'cpu'
  /** All of its output. */
  stdout?: string
  stdoutHex?: string
  stderr?: string
  /** Parts of its output. */
  prints?: readonly string[]
  /** What must be nowhere in its output. */
  hides?: readonly string[]
  /** Of stdout and stderr together. */
  keptBytes?: number
  /** All paths of its artifacts, in order. */
  artifacts?: readonly string[]
  mostArtifacts?: number
  /** Paths that must be named as not taken. */
  skipped?: readonly string[]
  /** Of a rejection. */
  error?: string
}

/** A program of the catalogue. */
export interface Program {
  name: string
  language: string
  code: string
  expected: Expected
  /** Fields of its message beside the code. */
  job: Readonly<Record<string, unknown>> & { limits?: Readonly<Record<string, number>> }
  /** The only processor that its code is for. */
  arch: string | undefined
  /** What it prints, among other things, where there are no walls. */
  outside: string | undefined
}

const FOLDER = join(import.meta.dirname, 'programs')
const LANGUAGES: Readonly<Record<string, string>> = { '.py': 'python', '.sh': 'bash', '.js': 'node' }

/** All programs, by name. The first line of each is a comment with what is expected of it and its message, in JSON. */
export function readPrograms(): Program[] {
  return readdirSync(FOLDER)
    .filter((file) => extname(file) in LANGUAGES)
    .sort()
    .map(readProgram)
}

/** What programs that try walls share; they find it beside them. */
export const SHARED_FILES = [
  { path: 'attempts.py', content: readFileSync(join(FOLDER, 'shared/attempts.py'), 'utf8') },
]

function readProgram(file: string): Program {
  const code = readFileSync(join(FOLDER, file), 'utf8')
  const header = /^(?:#|\/\/) (\{.*\})\n/.exec(code)?.[1]
  if (header === undefined) throw new Error(`${file} does not begin with what is expected of it`)
  const { job = {}, arch, outside, ...expected } = JSON.parse(header) as Expected & Partial<Program>
  return {
    name: basename(file),
    language: LANGUAGES[extname(file)] ?? '',
    code,
    expected,
    job,
    arch,
    outside,
  }
}
