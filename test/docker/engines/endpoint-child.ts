/** Runs in a container: starts IMAGE, which serves port 8000, asks it once, and prints where it is and what it says. */
import { createLogger } from '../../../src/core/log.ts'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import { createDockerExecutor } from '../../../src/executors/docker/docker-executor.ts'

const { IMAGE = '' } = process.env
const never = new AbortController().signal
const executor = createDockerExecutor({
  engine: await connectEngine({ environment: process.env }),
  processName: 'test',
  log: createLogger(() => undefined),
  environment: {},
})
try {
  await using task = await executor.start(
    {
      name: `test-${crypto.randomUUID()}`,
      kind: 'test',
      image: IMAGE,
      environment: {},
      server: { port: 8000 },
      limits: {},
      keep: false,
    },
    never,
  )
  const endpoint = await task.endpoint?.()
  if (endpoint === undefined || 'socketPath' in endpoint) throw new Error('no port')
  const url = `http://${endpoint.host}:${endpoint.port}/`
  let said = ''
  for (let n = 0; said === '' && n < 100; n += 1) {
    said = await fetch(url).then(
      (response) => response.text(),
      () => '',
    )
    if (said === '') await new Promise((resolve) => setTimeout(resolve, 100))
  }
  console.log(JSON.stringify({ ...endpoint, said }))
} finally {
  await executor.close()
}
