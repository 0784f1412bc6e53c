import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { requireEngine } from '../../support/engine.ts'
import { hasPython } from '../../support/images.ts'
import { openSandbox, type Sandbox } from './sandbox.ts'

const engine = await requireEngine()
const isRunnable = engine !== undefined && (await hasPython())

describe.skipIf(!isRunnable)('warm starts', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    if (engine !== undefined) sandbox = await openSandbox(engine, { isWarm: true })
  })
  afterAll(async () => {
    await sandbox.close()
  })

  /** Names of the containers that wait for a job. */
  async function parked(): Promise<string[]> {
    const filters = JSON.stringify({
      label: [`org.opthub.runner.process=${sandbox.processName}`, 'org.opthub.runner.kind=code-exec'],
    })
    const list = (await engine?.json('GET', '/containers/json', { query: { filters } })) as {
      Names: string[]
    }[]
    return list.flatMap(({ Names }) => Names)
  }

  async function untilParked(): Promise<void> {
    for (let n = 0; n < 200 && (await parked()).length === 0; n += 1) await delay(50)
  }

  test.each(['python', 'bash', 'node'])('serve %s, each one job', async (language) => {
    const code = {
      python: 'import os, sys\nopen("mine", "x")\nprint(os.environ.get("K"), sys.argv[1:], sys.stdin.read())',
      bash: 'set -C; echo > mine && echo "${K-None} [$*] $(cat)"',
      node: 'const fs = require("fs"); fs.writeFileSync("mine", "", { flag: "wx" }); console.log(process.env.K, process.argv.slice(2), fs.readFileSync(0, "utf8"))',
    }[language]
    const first = await sandbox.run({
      language,
      code,
      env: { K: 'secret' },
      args: ['secret'],
      stdin: 'secret',
    })
    expect(first).toMatchObject({ status: 'success', sandbox: { start: 'cold' } })
    for (let n = 0; n < 2; n += 1) {
      // Those of another language give way when they were not asked for some time.
      for (let tries = 0; ; tries += 1) {
        await untilParked()
        const next = await sandbox.run({ language, code, stdin: 'in' })
        expect(next.status).toBe('success')
        expect(Buffer.from(next.stdout.bytes).toString()).not.toContain('secret')
        expect(Buffer.from(next.stdout.bytes).toString()).toContain('in')
        if (next.sandbox?.start === 'warm') break
        expect(tries).toBeLessThan(20)
        await delay(500)
      }
    }
  })

  test('are for common programs alone', async () => {
    if (engine === undefined) return
    const other = await openSandbox(engine, { isWarm: true })
    try {
      for (const fields of [{ language: 'own', code: 'echo 1' }, { artifacts: ['x*'] }]) {
        expect(await other.run(fields)).toMatchObject({ status: 'success', sandbox: { start: 'cold' } })
        await delay(500)
      }
      expect(other.log.map(({ msg }) => msg)).toContain('Container started')
      expect(other.log.map(({ msg }) => msg)).not.toContain('Container started ahead')
    } finally {
      await other.close()
    }
  })

  test('know of limits and kills as well', async () => {
    for (let tries = 0; ; tries += 1) {
      await sandbox.run({ code: '' })
      await untilParked()
      const endless = await sandbox.run(
        { code: 'print("on")\nwhile True: pass', limits: {} },
        { cancel: AbortSignal.timeout(300) },
      )
      expect(endless).toMatchObject({ status: 'canceled' })
      expect(Buffer.from(endless.stdout.bytes).toString()).toBe('on\n')
      if (endless.sandbox?.start === 'warm') break
      expect(tries).toBeLessThan(20)
    }
  })
})
