import { spawn } from 'node:child_process'
import { access } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { fileURLToPath } from 'node:url'
import { EXIT, OperatorError } from '../core/errors.ts'
import { connectEngine } from '../executors/docker/api/connect.ts'
import type { Engine } from '../executors/docker/api/engine.ts'
import { isInteractive, type Io } from './io.ts'

// The same place from src/cli and from dist/cli.
const DOCKER_UP = fileURLToPath(new URL('../../scripts/docker-up.sh', import.meta.url))

/**
 * The engine that answers. Where none runs, and root may install one on Debian or Ubuntu, that is done after a
 * question, or without a terminal after a loud line. OperatorError when there is none.
 */
export async function findDocker(io: Io, signal: AbortSignal): Promise<Engine> {
  const { environment } = io
  try {
    return await connectEngine({ environment, signal })
  } catch (error) {
    if (!(error instanceof OperatorError) || error.exitCode === EXIT.config || !(await canInstall(io)))
      throw error
    await agree(io, error, signal)
  }
  await startDocker(io, signal)
  return connectEngine({ environment, signal })
}

async function canInstall({ environment, platform }: Io): Promise<boolean> {
  // Whoever names an engine wants that one.
  const isNamed = ['DOCKER_HOST', 'DOCKER_CONTEXT'].some((name) => (environment[name] ?? '') !== '')
  if (platform !== 'linux' || isNamed || process.getuid?.() !== 0) return false
  const needed = ['/etc/debian_version', DOCKER_UP].map((path) => access(path))
  return (await Promise.allSettled(needed)).every(({ status }) => status === 'fulfilled')
}

async function agree(io: Io, reason: OperatorError, signal: AbortSignal): Promise<void> {
  if (!isInteractive(io) || io.stdin.isTTY !== true) {
    io.stderr.write(
      `!! ${reason.what}. Installing and starting it now (${DOCKER_UP}), as root, with apt-get.\n`,
    )
    return
  }
  const lines = createInterface({ input: io.stdin, output: process.stderr })
  try {
    const question = `${reason.what}. Install it with apt-get and start it now? [Y/n] `
    const answer = await lines.question(question, { signal })
    if (/^n/i.test(answer.trim())) throw reason
  } finally {
    lines.close()
  }
}

async function startDocker(io: Io, signal: AbortSignal): Promise<void> {
  const child = spawn('sh', [DOCKER_UP], { stdio: ['ignore', 'pipe', 'pipe'], signal })
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding('utf8').on('data', (text: string) => io.stderr.write(text))
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  if (code === 0) return
  throw new OperatorError(
    'Docker could not be installed or started',
    `${DOCKER_UP} ended with ${String(code)}; its output is above`,
    'Install Docker by hand (https://docs.docker.com/engine/install/), then start the demo again.',
    EXIT.unavailable,
  )
}
