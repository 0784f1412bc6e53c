import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf } from '../../src/core/errors.ts'
import { connectEngine } from '../../src/executors/docker/api/connect.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'

const run = promisify(execFile)

/**
 * The engine that the suites use: DOCKER_HOST, else where the docker CLI finds it. Without one it says so loudly and
 * returns undefined, and throws under CI=true.
 */
export async function requireEngine(): Promise<Engine | undefined> {
  try {
    return await connectEngine({ environment: process.env })
  } catch (error) {
    const text = `No Docker engine, so these tests do NOT run: ${messageOf(error)}\nStart one with scripts/docker-up.sh.`
    if (process.env['CI'] === 'true') throw new Error(text, { cause: error })
    console.error(`\n!!! ${text}\n`)
    return undefined
  }
}

/** Whether this machine can run engines of a test's own: Linux, root, dockerd. */
export function canStartPrivateEngine(): boolean {
  const found = (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, 'dockerd')))
  return process.platform === 'linux' && process.getuid?.() === 0 && found
}

export interface PrivateEngineOptions {
  /** Further arguments of dockerd. */
  args?: readonly string[]
  /** A folder whose programs it finds before those of the machine. */
  path?: string
  /** Gives it a disk of its own of so many MiB. */
  diskMib?: number
  /** Lets this machine see that disk, as it sees that of an ordinary engine. */
  showsDisk?: boolean
}

/** An engine that only one test uses: own network and mount namespaces, own data. */
export interface PrivateEngine extends AsyncDisposable {
  /** For DOCKER_HOST. */
  readonly host: string
  readonly socketPath: string
  /** Where it keeps its data. */
  readonly dataRoot: string
  /** Pid of dockerd. */
  readonly pid: number
  /** Ends it as `systemctl stop docker` does. */
  stop(): Promise<void>
  /** Ends it as a crash does; its containers' processes live on until `restart`. */
  crash(): Promise<void>
  /** Starts it anew on the same data and socket. */
  restart(): Promise<void>
}

/** Starts an engine and waits until it answers; dispose stops it and removes its data. */
export async function startPrivateEngine(options: PrivateEngineOptions = {}): Promise<PrivateEngine> {
  const folder = await mkdtemp(join(tmpdir(), 'oe-'))
  const socketPath = join(folder, 's')
  const { diskMib, showsDisk = false } = options
  if (showsDisk)
    await run('sh', ['-c', `mkdir ${folder}/d && mount -t tmpfs -o size=${diskMib ?? 100}m none ${folder}/d`])
  const namespaces = await holdNamespaces(folder, showsDisk ? undefined : diskMib)
  let dockerd = await launch()

  async function launch(): Promise<ChildProcess> {
    const log = openSync(join(folder, 'log'), 'a')
    const places = `--data-root ${folder}/d --exec-root ${folder}/e -p ${folder}/pid -H unix://${socketPath}`
    const command = ['dockerd', ...places.split(' '), ...(options.args ?? [])]
    const enter = ['--pdeathsig', 'TERM', 'nsenter', '-t', String(namespaces.pid), '-n', '-m', ...command]
    const PATH = [options.path, process.env['PATH']].filter((part) => part !== undefined).join(':')
    const env = { ...process.env, PATH }
    const child = spawn('setpriv', enter, { stdio: ['ignore', log, log], detached: true, env })
    closeSync(log)
    for (let n = 0; n < 300; n += 1) {
      if (child.exitCode !== null) break
      if (await answers()) return child
      await delay(100)
    }
    throw new Error(`dockerd did not start:\n${readFileSync(join(folder, 'log'), 'utf8').slice(-4000)}`)
  }
  async function answers(): Promise<boolean> {
    return await connectEngine({ host: `unix://${socketPath}`, environment: {} }).then(
      (engine) => {
        engine.close()
        return true
      },
      () => false,
    )
  }

  return {
    host: `unix://${socketPath}`,
    socketPath,
    dataRoot: join(folder, 'd'),
    get pid() {
      return dockerd.pid ?? 0
    },
    stop: () => end(dockerd, 'SIGTERM'),
    crash: async () => {
      await end(dockerd, 'SIGKILL')
      // Its containerd dies with it; where nobody reaps the body, the next dockerd would take it for alive.
      await rm(join(folder, 'e/containerd/containerd.pid'), { force: true })
    },
    restart: async () => {
      dockerd = await launch()
    },
    [Symbol.asyncDispose]: async () => {
      // Only an engine can end the containers that its crash has left running.
      if (dockerd.signalCode === 'SIGKILL') dockerd = await launch()
      await end(dockerd, 'SIGTERM')
      killShims(folder)
      await end(namespaces, 'SIGKILL')
      if (showsDisk) await run('umount', ['-l', `${folder}/d`])
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** Ends what a crash in the midst of a start has left behind, which no engine knows of: shims, and what they started. */
function killShims(folder: string): void {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const shims = pids.filter((pid) => readProc(pid, 'cmdline').includes(`${folder}/e/containerd/`))
  const children = pids.filter((pid) => shims.includes(/\) \S (\d+)/.exec(readProc(pid, 'stat'))?.[1] ?? ''))
  for (const pid of [...children, ...shims]) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has ended meanwhile.
    }
  }
}

function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

/** A process that holds a network and a mount namespace, so that an engine can come back to them after a crash. */
async function holdNamespaces(folder: string, diskMib: number | undefined): Promise<ChildProcess> {
  const disk = diskMib === undefined ? '' : `mount -t tmpfs -o size=${diskMib}m none ${folder}/d && `
  const script = `mkdir -p ${folder}/d && ip link set lo up && ${disk}echo ready && exec sleep infinity`
  const unshare = [
    '--pdeathsig',
    'KILL',
    'unshare',
    '-n',
    '-m',
    '--propagation',
    'private',
    'sh',
    '-c',
    script,
  ]
  const child = spawn('setpriv', unshare, { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  await once(child.stdout, 'data')
  return child
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}
