/** Starts a program of IMAGE within walls, with a folder that outlives it, as the user of SETUID; tells of them, and waits. */
import { statSync } from 'node:fs'
import { createLogger } from '../../../src/core/log.ts'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import { createDockerExecutor } from '../../../src/executors/docker/docker-executor.ts'
import { SECCOMP_PROFILE } from '../../../src/executors/docker/walls/seccomp.ts'

const { IMAGE = '', SETUID, DOCKER_HOST = '' } = process.env
if (SETUID !== undefined) {
  // As somebody who is in the group that may use the engine.
  process.setgroups?.([statSync(DOCKER_HOST.replace('unix://', '')).gid])
  process.setgid?.(Number(SETUID))
  process.setuid?.(Number(SETUID))
}
const never = new AbortController().signal
const engine = await connectEngine({ host: DOCKER_HOST, environment: {} })
const log = createLogger(() => undefined)
const executor = createDockerExecutor({ engine, processName: 'test', environment: {}, log })
const workdir = await executor.openWorkdir({ path: '/work', bytes: 1e6, inodes: 9, uid: 65534 }, never)
const task = await executor.start(
  {
    ...{ name: `dies-${crypto.randomUUID()}`, kind: 'test', image: IMAGE, environment: {}, keep: false },
    limits: { memoryBytes: 256e6, pids: 64, cpus: 1 },
    walls: { seccomp: SECCOMP_PROFILE, workdir },
  },
  never,
)
await task.send(Buffer.from('while True: pass'))
let usage = await task.usage?.()
while ((usage?.cpuMs ?? 0) < 300) {
  await new Promise((resolve) => setTimeout(resolve, 20))
  usage = await task.usage?.()
}
process.stdout.write(`${JSON.stringify({ workdir: workdir.id, task: task.id, usage })}\n`)
process.stdin.resume()
process.stdin.once('end', () => {
  void (async () => {
    await task.kill(0)
    const { exitCode } = await task.wait()
    await task[Symbol.asyncDispose]()
    await workdir[Symbol.asyncDispose]()
    await executor.close()
    process.exitCode = exitCode === 137 ? 0 : 1
  })()
})
