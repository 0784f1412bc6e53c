import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectEngine } from '../../src/executors/docker/api/connect.ts'
import { importHostNodeImage } from '../../src/executors/docker/images/host-image.ts'
import {
  canStartPrivateEngine,
  requireEngine,
  startPrivateEngine,
  type PrivateEngine,
} from '../support/engine.ts'
import { codeBlocks } from '../support/markdown.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const BLOCKS = codeBlocks(readFileSync(join(ROOT, 'examples/optimizer/README.md'), 'utf8'))
const COMMANDS = BLOCKS.flatMap(({ language, text }) => (language === 'bash' ? [text] : []))
const SHOWN = BLOCKS.flatMap(({ language, text }) => (language === 'text' ? [text] : [])).join('')
const shared = await requireEngine()
shared?.close()

/** On an engine of its own, since it makes what is named like the image of others that the Dockerfile begins with. */
describe.skipIf(shared === undefined || !canStartPrivateEngine())(
  'every command of examples/optimizer/README.md',
  () => {
    let engine: PrivateEngine | undefined

    beforeAll(async () => {
      engine = await startPrivateEngine()
      const connection = await connectEngine({ host: engine.host, environment: {} })
      const command = ['/usr/bin/node']
      await importHostNodeImage(connection, { tag: 'base:1', files: {}, command, nodePath: process.execPath })
      connection.close()
      // As the real one it has a user `node`.
      await run(`cd "$(mktemp -d)"
      echo 'node:x:1000:1000::/:/bin/false' > passwd
      printf 'FROM base:1\\nCOPY passwd /etc/' > Dockerfile
      docker build --tag node:20-alpine . && rm -r "$PWD"`)
    })
    afterAll(async () => {
      await engine?.[Symbol.asyncDispose]()
      for (const name of ['problem.json', 'solution.json']) await rm(join(ROOT, name), { force: true })
    })

    /** What a command prints. */
    async function run(command: string): Promise<string> {
      const { socketPath = '', host } = engine ?? {}
      const here = command.replaceAll(/(?<!:)\/var\/run\/docker\.sock/g, socketPath)
      // The builder that needs no plug-in.
      const env = { ...process.env, DOCKER_HOST: host, DOCKER_BUILDKIT: '0', NO_COLOR: '1' }
      const { stdout } = await promisify(execFile)('sh', ['-ec', here], { cwd: ROOT, env })
      return stdout
    }

    test('they are these', () => {
      expect(COMMANDS.map((command) => /^(docker \w+|sh|node|echo)/.exec(command)?.[0])).toEqual([
        ...['docker build', 'sh', 'node', 'echo', 'echo', 'docker run'],
      ])
    })

    test.each([
      ['by its Dockerfile', 0],
      ["of this machine's own Node", 1],
    ])('the image, made %s, solves what the callers ask for', async (_, way) => {
      const [, , plan = '', pipe = '', files = '', inside = ''] = COMMANDS
      await run(COMMANDS[way] ?? '')
      const table = await run(plan)
      expect(table).toContain(SHOWN)
      expect(table.split('\n')).toHaveLength(6)
      expect(JSON.parse(await run(pipe))).toMatchObject({ status: 'optimal', x: [2, 6], objective: -36 })
      const solution = { status: 'optimal', x: [3, 0], objective: 3, solver: 'optimizer 1.0.0' }
      expect(JSON.parse(await run(files))).toMatchObject(solution)
      await rm(join(ROOT, 'solution.json'))
      expect(await run(inside)).toBe('')
      expect(JSON.parse(readFileSync(join(ROOT, 'solution.json'), 'utf8'))).toMatchObject(solution)
    })
  },
)
