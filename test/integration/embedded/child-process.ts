import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import ts from 'typescript'
import { onTestFinished } from 'vitest'
import type { EmbeddedInfo } from '../../../src/embedded/index.ts'

const ROOT = resolve(import.meta.dirname, '../../..')

/** Another process that has a data directory open. */
export interface Member {
  info: EmbeddedInfo
  pid: number
  /** Whether it serves now. */
  serving(): Promise<boolean>
  /** Ends it as a crash would. */
  kill(): Promise<void>
  /** Stops it without ending it. */
  freeze(): void
  thaw(): void
  /** Lets it close; resolves when it has ended by itself. */
  close(): Promise<void>
  /** Its memory in bytes. */
  rssBytes(): Promise<number>
}

/**
 * Compiles the sources (which Node 20 can't run as they are) to a folder inside of node_modules, where their imports
 * are found. Call once for a test file; the folder goes by the function returned.
 */
export function compileChild(): { script: string; remove: () => void } {
  const cache = join(ROOT, 'node_modules/.cache')
  mkdirSync(cache, { recursive: true })
  const out = mkdtempSync(join(cache, 'embedded-child-'))
  writeFileSync(join(out, 'package.json'), '{"type":"module"}')
  const sources = ['src/core', 'src/embedded'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
      .map((file) => join(ROOT, folder, file)),
  )
  for (const source of [...sources, join(import.meta.dirname, 'child.ts')]) {
    const target = join(out, relative(ROOT, source)).replace(/\.ts$/, '.js')
    mkdirSync(dirname(target), { recursive: true })
    const { outputText } = ts.transpileModule(readFileSync(source, 'utf8'), {
      compilerOptions: {
        target: ts.ScriptTarget.ES2023,
        module: ts.ModuleKind.ESNext,
        rewriteRelativeImportExtensions: true,
        verbatimModuleSyntax: true,
      },
    })
    writeFileSync(target, outputText)
  }
  return {
    script: join(out, 'test/integration/embedded/child.js'),
    remove: () => {
      rmSync(out, { recursive: true, force: true })
    },
  }
}

/** Starts a process that opens `dataDir`; resolves when it has. Killed when the test ends. */
export async function startMember(script: string, dataDir: string): Promise<Member> {
  const child = spawn(process.execPath, [script, dataDir], { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const info = (await ask()) as EmbeddedInfo
  const ended = child.exitCode === null ? once(child, 'exit') : Promise.resolve()
  return {
    info,
    pid: pidOf(child),
    serving: async () => (await ask('serving')) as boolean,
    rssBytes: async () => (await ask('rss')) as number,
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
    freeze: () => {
      child.kill('SIGSTOP')
    },
    thaw: () => {
      child.kill('SIGCONT')
    },
    async close() {
      child.stdin.write('close\n')
      await ended
    },
  }

  async function ask(question?: string): Promise<unknown> {
    if (question !== undefined) child.stdin.write(`${question}\n`)
    const line = await lines.next()
    if (line.done === true) throw new Error('the child process has ended')
    return JSON.parse(line.value)
  }
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('not started')
  return child.pid
}
