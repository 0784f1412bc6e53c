import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'
import type { EmbeddedInfo } from '../../../src/embedded/index.ts'

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
