import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { SQSClient } from '@aws-sdk/client-sqs'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { CheckResult } from '../../../src/cli/doctor/finding.ts'
import { createLogger } from '../../../src/core/log.ts'
import { openEmbedded, type Embedded, type EmbeddedInfo } from '../../../src/embedded/index.ts'
import { awsSettings, toYaml } from '../../support/aws-settings.ts'
import { runMain } from '../../support/fake-io.ts'

/** What a Docker engine answers where all is well. */
export const ENGINE = {
  '/_ping': 'OK',
  '/version': { Version: '24.0.7', Os: 'linux', Arch: 'amd64', Components: [{ Name: 'Engine' }] },
  '/info': { DockerRootDir: tmpdir(), OSType: 'linux', OperatingSystem: 'Debian', Name: 'host' },
  '/images/problem/json': { Os: 'linux', Architecture: 'amd64' },
  '/images/indicator%3A1/json': { Os: 'linux', Architecture: 'amd64' },
}

export interface Settings {
  /** Of the config file, over what is right. */
  config?: Record<string, unknown>
  argv?: readonly string[]
  environment?: Record<string, string>
  socket?: string
}

export interface Report {
  code: number
  ok: boolean
  checks: CheckResult[]
  text: string
  of(id: string): CheckResult
}

/** The ids of the checks that failed. */
export function failures({ checks }: Report): string[] {
  return checks.filter(({ status }) => status === 'failed').map(({ id }) => id)
}

export function expectFailure(
  report: Report,
  id: string,
  detail: string | RegExp,
  fix: string | RegExp,
): void {
  expect(report.of(id)).toMatchObject({
    status: 'failed',
    detail: expect.stringMatching(detail) as string,
    fix: expect.stringMatching(fix) as string,
  })
  expect(report).toMatchObject({ code: 1, ok: false })
}

/** Queues and a table, engines that answer as they are told, and the verb that looks at them. */
export class DoctorBench implements AsyncDisposable {
  readonly home: string
  readonly info: EmbeddedInfo
  readonly sqs: SQSClient
  readonly dynamodb: DynamoDBClient
  readonly #embedded: Embedded
  readonly #servers: Server[] = []
  #engineSocket = ''
  #files = 0

  private constructor(home: string, embedded: Embedded) {
    this.home = home
    this.#embedded = embedded
    this.info = embedded.info
    const { region, accessKeyId, secretAccessKey, endpoints } = embedded.info
    const common = { region, credentials: { accessKeyId, secretAccessKey } }
    this.sqs = new SQSClient({ ...common, endpoint: endpoints.sqs })
    this.dynamodb = new DynamoDBClient({ ...common, endpoint: endpoints.dynamodb })
  }

  static async start(): Promise<DoctorBench> {
    const home = await mkdtemp(join(tmpdir(), 'opthub-doctor-'))
    const log = createLogger(() => undefined)
    const bench = new DoctorBench(home, await openEmbedded({ dataDir: join(home, 'aws'), log }))
    bench.#engineSocket = await bench.serveEngine(ENGINE)
    return bench
  }

  /** The socket of the engine where all is well. */
  get engineSocket(): string {
    return this.#engineSocket
  }

  /** A Docker engine that answers these paths, and 404 for others. */
  async serveEngine(answers: Record<string, unknown>): Promise<string> {
    const server = createServer((request, response) => {
      const answer = answers[request.url ?? '']
      if (answer === undefined) {
        response.writeHead(404, { 'Content-Type': 'application/json' })
        response.end(JSON.stringify({ message: `No such thing: ${String(request.url)}` }))
      } else if (typeof answer === 'object' && answer !== null && 'status' in answer) {
        response.writeHead(Number(answer.status), { 'Content-Type': 'application/json' })
        response.end(JSON.stringify(answer))
      } else response.end(typeof answer === 'string' ? answer : JSON.stringify(answer))
    })
    const path = join(this.home, `engine-${String(this.#servers.length)}.sock`)
    server.listen(path)
    await once(server, 'listening')
    this.#servers.push(server)
    return path
  }

  /** A config file that is right but for what is said. */
  async writeConfig(config: Record<string, unknown> = {}): Promise<string> {
    this.#files += 1
    const file = join(this.home, `config-${String(this.#files)}.yml`)
    const matches = { '*': { problem: { image: 'problem' }, indicator: { image: 'indicator:1' } } }
    await writeFile(file, toYaml({ ...awsSettings(this.info), matches, ...config }), { mode: 0o600 })
    return file
  }

  /** What `doctor` finds with a config that is right but for what is said. */
  async doctor({ config = {}, argv = [], environment = {}, socket }: Settings = {}): Promise<Report> {
    const file = await this.writeConfig(config)
    return await this.examine(['-c', file, ...argv], {
      DOCKER_HOST: `unix://${socket ?? this.#engineSocket}`,
      ...environment,
    })
  }

  /** What `doctor` finds with these arguments. */
  async examine(argv: readonly string[], environment: Record<string, string> = {}): Promise<Report> {
    const { code, stdout, stderr } = await this.run(['doctor', '--json', ...argv], environment)
    expect(stderr).toBe('')
    expect(stdout).not.toContain(this.info.secretAccessKey)
    const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: CheckResult[] }
    const of = (id: string): CheckResult => {
      const found = checks.find((check) => check.id === id)
      if (found === undefined) throw new Error(`there is no check ${id}: ${stdout}`)
      return found
    }
    return { code, ok, checks, of, text: stdout }
  }

  /** Any verb, with the same data folder. */
  async run(
    argv: readonly string[],
    environment: Record<string, string> = {},
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    return await runMain(argv, {
      environment: {
        OPTHUB_RUNNER_HOME: join(this.home, 'data'),
        DOCKER_HOST: `unix://${this.#engineSocket}`,
        HOME: this.home,
        ...environment,
      },
    })
  }

  /** Ends the engine that was made last, as nobody cleans up behind a crash. */
  closeLastEngine(): void {
    this.#servers.at(-1)?.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sqs.destroy()
    this.dynamodb.destroy()
    await this.#embedded.close()
    for (const server of this.#servers) {
      server.closeAllConnections()
      server.close()
    }
    await rm(this.home, { recursive: true, force: true })
  }
}
