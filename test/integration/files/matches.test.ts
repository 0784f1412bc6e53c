import { readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { NotYetError, RetryableError } from '../../../src/core/errors.ts'
import { createFiles } from '../../../src/files/choose.ts'
import { createHttpCarrier } from '../../../src/files/http/http-carrier.ts'
import { createEvaluator } from '../../../src/kinds/evaluator/handler.ts'
import { MatchInputs } from '../../../src/kinds/match-inputs.ts'
import { FileServer } from '../../support/file-server.ts'
import { addSolution, createWorld, trialOf, work, type World } from '../../unit/kinds/harness.ts'

let server: FileServer
let world: World
let inputs: MatchInputs
let before: string[]

/** Those of this process. */
async function ownFolders(): Promise<string[]> {
  return (await readdir(tmpdir())).filter(
    (name) => name.startsWith('opthub-runner-files-') && name.includes(`_${process.pid}_`),
  )
}

beforeEach(async () => {
  before = await ownFolders()
  server = await FileServer.start()
  const web = (): Promise<ReturnType<typeof createHttpCarrier>> => Promise.resolve(createHttpCarrier())
  const carriers = { http: web, s3: web, file: web }
  inputs = new MatchInputs(createFiles({ carriers, patience: { patienceMs: 20, firstPauseMs: 5 } }))
  const url = server.url('data?sig=topsecret')
  world = createWorld(
    async (_, { mounts = [] }) => {
      const [mount] = mounts
      expect(mount).toMatchObject({ target: '/files', readOnly: true })
      const text = await readFile(join(mount?.source ?? '', 'in/data.csv'), 'utf8')
      return { stdout: `{"objective": ${text}}` }
    },
    {},
    { '*': { problem: { image: 'p', inputs: [{ path: 'in/data.csv', url }] } } },
  )
  world.services.inputs = inputs
})
afterEach(async () => {
  await inputs.close()
  await server[Symbol.asyncDispose]()
  expect(await ownFolders()).toEqual(before)
})

it('fetches the files of a match once for all of its trials', async () => {
  server.files.set('data', Buffer.from('42'))
  const evaluator = createEvaluator(world.services)
  const trials = ['00001', '00002', '00003'].map((no) => trialOf(no))
  for (const trial of trials) addSolution(world, trial)
  const done = await Promise.all(trials.map((trial) => work(evaluator, trial, world)))
  expect(done).toEqual(['succeeded', 'succeeded', 'succeeded'])
  expect(server.requests).toEqual(['GET /data'])
})

it('parks a match whose files are not there, until they are', async () => {
  const trial = trialOf('00001')
  addSolution(world, trial)
  const evaluator = createEvaluator(world.services)
  const parked = await work(evaluator, trial, world).catch((error: unknown) => error)
  expect(parked).toBeInstanceOf(NotYetError)
  expect((parked as Error).message).toMatch(/in\/data\.csv.*answered 404/)
  expect(JSON.stringify(world.log)).not.toContain('topsecret')
  server.files.set('data', Buffer.from('42'))
  world.clock.jump(61_000)
  expect(await work(evaluator, trial, world)).toBe('succeeded')
})

it('puts a trial back when the files can not be had now', async () => {
  server.fault = (_, response) => {
    response.writeHead(503).end()
    return true
  }
  const trial = trialOf('00001')
  addSolution(world, trial)
  const failed = await work(createEvaluator(world.services), trial, world).catch((error: unknown) => error)
  expect(failed).toBeInstanceOf(RetryableError)
  expect(failed).toMatchObject({ surrounding: 'files' })
})
