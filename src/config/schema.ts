import { z } from 'zod'
import { LOG_LEVELS } from '../core/log.ts'
import { codeExec } from './code-exec.ts'
import { inference } from './inference.ts'
import { fetcher } from './fetcher.ts'
import {
  anyNumber,
  bytes,
  choice,
  explain,
  flag,
  httpUrl,
  queueUrl,
  seconds,
  text,
  wholeNumber,
} from './fields.ts'
import { parseNumber } from './quantities.ts'

/** SQS lets no message be held for longer than this after its receive. */
export const LONGEST_LEASE_SECONDS = 43_200

const GPUS = 'a number of GPUs from 0 to 1024, all, or a list of their UUIDs'
const GPU_UUIDS = 'a list of UUIDs, such as [GPU-5ebe7af3-12ab-34cd-56ef-0123456789ab]'
const GPU_UUID = 'a UUID as `nvidia-smi -L` shows it, such as GPU-5ebe7af3-12ab-34cd-56ef-0123456789ab'
const LOOKS_LIKE_GPU = /^(GPU|MIG)-[\w/-]+$/

/** Walls around a container, as the file writes them. */
const limits = z.strictObject(
  {
    cpus: anyNumber({ above: 0 }).optional().describe('CPU cores, fractions allowed'),
    memory: bytes({ min: 6 * 1024 ** 2 })
      .optional()
      .describe('memory and swap together'),
    pids: wholeNumber({ min: 1 }).optional().describe('most processes and threads'),
    shm_size: bytes({ min: 1 }).optional().describe('size of /dev/shm'),
    network: choice(['default', 'none']).optional().describe('none = no network at all'),
    read_only: flag().optional().describe('nothing in the image can be written'),
    user: text('uid[:gid] or a user of the image').optional().describe('who the program runs as'),
    tmpfs: z
      .record(
        z.string().regex(/^\/\P{Cc}*$/u, explain('an absolute path')),
        z.string(explain('mount options')),
        explain('a map of paths to mount options'),
      )
      .optional()
      .describe('mount point: options, e.g. /tmp: size=64m'),
    ulimits: z
      .record(
        z.string().regex(/^[a-z]+$/, explain('the name of a limit')),
        wholeNumber({ min: -1 }),
        explain('a map of names to numbers'),
      )
      .optional()
      .describe('name: number, e.g. nofile: 1024'),
    runtime: text('the name of an OCI runtime').optional().describe('OCI runtime, e.g. runsc'),
    platform: platform().optional().describe('e.g. linux/amd64'),
  },
  explain('a map of limits'),
)

/** Who the runner is to a registry. */
const registryLogin = z
  .preprocess(
    (value) => (typeof value === 'string' ? { token: value } : value),
    z.strictObject(
      {
        username: text('a user name').optional().describe('who may read the images'),
        password: text('a password')
          .optional()
          .describe('password or access token; better env:NAME or file:PATH'),
        token: text('a token')
          .optional()
          .describe(
            'identity token, as `docker login` keeps it, in place of both; better env:NAME or file:PATH',
          ),
      },
      explain('a map of username and password, or a token'),
    ),
  )
  .meta({ also: { type: 'string' } })

const INPUT_PATH = 'a relative path without . and .., such as data/train.csv'
const FILE_URL = 'a URL that begins with s3://, https://, http:// or file://'
const SHA256 = '64 hexadecimal digits'

/** One of a match's two images. */
const recipe = z.strictObject(
  {
    image: z
      .string(explain('the name of an image'))
      .regex(/^[^\s\p{Cc}]+$/u, explain('the name of an image, without blanks')),
    command: z
      .array(z.string(explain('text')), explain('a list of words, such as ["python3", "main.py"]'))
      .min(1, explain('a list of at least one word'))
      .optional(),
    environment: z
      .record(
        z.string().regex(/^[^=\0]+$/, explain('the name of an environment variable')),
        z
          .string(explain('text ("" for none)'))
          .regex(/^[^\0]*$/, explain('text without NUL'))
          .meta({ also: { type: ['number', 'boolean'] } }),
        explain('a map of names to values'),
      )
      .default({}),
    timeout: seconds({ above: 0 }).optional(),
    limits: limits.optional(),
    gpus: gpuRequest().optional(),
    inputs: z
      .array(
        z.strictObject(
          {
            path: z.string(explain(INPUT_PATH)).refine(isSafePath, explain(INPUT_PATH)),
            url: z.string(explain(FILE_URL)).regex(/^(s3|https?|file):\/\/\S/i, explain(FILE_URL)),
            sha256: z
              .string(explain(SHA256))
              .regex(/^[0-9a-fA-F]{64}$/, explain(SHA256))
              .optional(),
          },
          explain('a map of path, url and sha256'),
        ),
        explain('a list of files: [{path: data.csv, url: s3://bucket/key}]'),
      )
      .optional(),
  },
  explain('a map with at least `image`'),
)

const match = z.strictObject(
  {
    problem: recipe.optional(),
    indicator: recipe.optional(),
    direction: choice(['minimize', 'maximize'], { min: 'minimize', max: 'maximize' }).default('minimize'),
  },
  explain('a map with `problem` and `indicator`'),
)

const USER_POOL = 'the id of a user pool, such as ap-northeast-1_Ab12Cd34E'
const TABLE_NAME = 'the name of a DynamoDB table (3 to 255 of A–Z, a–z, 0–9, "_", "-", ".") or its ARN'
const WORDS = 'the words of a command, such as [test, -e, /run/notice]'
const HOST_AND_PORT =
  /^\S+:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$/
const METRICS = 'a port from 0 to 65535, or host:port'
const SLOTS = 'a whole number from 1 to 1000, or auto'
const WARM = 'a whole number from 0 to 16, or auto'
const UUID_OR_STAR = /^(\*|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$/

/** Every key of config.yml with its default. The names are the file's own. */
export const configSchema = z.object(
  {
    interval: seconds({ min: 0, max: 3600 })
      .default(2)
      .describe('seconds between two polls while the queue is empty'),
    timeout: seconds({ above: 0 })
      .default(43_200)
      .describe('seconds a container may work, from its input on'),
    rm: flag()
      .default(true)
      .describe('remove containers after their job; false keeps them for `docker logs`'),
    num: wholeNumber({ min: 0 }).default(0).describe('end after so many jobs; 0 = never'),
    log_level: choice(LOG_LEVELS, { warn: 'WARNING', fatal: 'CRITICAL' })
      .default('INFO')
      .describe('DEBUG, INFO, WARNING, ERROR or CRITICAL'),
    force: flag().default(false).describe('take over a process name that is in use'),
    evaluator_queue_url: queueUrl().describe("URL of the evaluator's SQS queue"),
    scorer_queue_url: queueUrl().describe("URL of the scorer's SQS queue"),
    access_key_id: text('an access key id')
      .optional()
      .describe('AWS access key id; left out = the AWS default chain; env:NAME and file:PATH are read'),
    secret_access_key: text('a secret access key')
      .optional()
      .describe('its secret; better env:NAME or file:PATH'),
    region_name: text('the name of an AWS region')
      .regex(/^[a-z0-9-]+$/, explain('the name of an AWS region, such as ap-northeast-1'))
      .optional()
      .describe('AWS region; left out = AWS_REGION, else that of the queue URL'),
    table_name: text('the name of a DynamoDB table')
      .regex(/^([A-Za-z0-9_.-]{3,255}|arn:\S+)$/, explain(TABLE_NAME))
      .optional()
      .describe('DynamoDB table with partition key ID and sort key Trial'),

    concurrency: z
      .union([z.literal('auto'), wholeNumber({ min: 1, max: 1000 }, SLOTS)], explain(SLOTS))
      .default(1)
      .describe('jobs at a time; auto = one per CPU'),
    ordered: flag()
      .default(true)
      .describe('score a trial only when all earlier ones of its participant are final'),
    order_window: wholeNumber({ min: 1, max: 10_000 })
      .default(100)
      .describe('most messages held while they wait for an earlier trial'),
    order_timeout: seconds({ min: 0 })
      .default(3600)
      .describe('seconds after which a waiting trial is scored with what is there'),
    forward: flag()
      .default(false)
      .describe("send the scorer's message after an evaluation (where nothing else does)"),
    strict_exit: flag()
      .default(false)
      .describe('a non-zero exit code fails the trial even when its result fits'),
    match_ttl: seconds({ min: 1 })
      .default(60)
      .describe("seconds after which a match's data are asked for again"),
    image_check_interval: seconds({ min: 0 })
      .default(60)
      .describe('seconds after which an image tag is asked for again'),
    max_output: bytes({ min: 1024, max: 512 * 1024 ** 2 })
      .default(16 * 1024 ** 2)
      .describe('longest result line'),
    max_total_output: bytes({ min: 1024 })
      .default(1024 ** 3)
      .describe('most output of a job in all; more is a flood'),
    wait_time: wholeNumber({ min: 0, max: 20 }).default(20).describe('seconds of a long poll'),
    visibility_timeout: wholeNumber({ min: 2, max: LONGEST_LEASE_SECONDS })
      .default(60)
      .describe('seconds for which a message is ours between two renewals'),
    heartbeat_interval: anyNumber({ above: 0 }).default(20).describe('seconds between two renewals'),
    lease_table: text('the name of a DynamoDB table')
      .regex(/^([A-Za-z0-9_.-]{3,255}|arn:\S+)$/, explain(TABLE_NAME))
      .optional()
      .describe(
        'table of its own for jobs that outlast their message (12 h); left out = such jobs are cut off',
      ),
    handover_after: seconds({ min: 1, max: LONGEST_LEASE_SECONDS })
      .default(41_400)
      .describe("seconds after which a record in lease_table takes the place of a running job's message"),
    max_receive_count: wholeNumber({ min: 0 })
      .default(10)
      .describe('tries of a job that got its input; 0 = leave it to the dead-letter queue'),
    shutdown_grace: seconds({ min: 0 })
      .default(600)
      .describe('seconds that running jobs get after the first signal'),
    stop_file: text('a path')
      .optional()
      .describe('no new jobs once this file exists, e.g. the notice that a spot machine is taken away'),
    stop_command: z
      .preprocess(
        (value) => (typeof value === 'string' ? value.split(/\s+/).filter((word) => word !== '') : value),
        z.array(text('a word'), explain(WORDS)).min(1, explain(WORDS)),
      )
      .optional()
      .describe('no new jobs once this command, asked every 5 s, ends with 0'),
    stop_grace: seconds({ min: 0, max: 300 })
      .default(10)
      .describe('seconds between SIGTERM and SIGKILL for a container'),
    pull_policy: choice(['refresh', 'always', 'if-not-present', 'never'])
      .default('refresh')
      .describe('always, if-not-present, never, or refresh: as image_check_interval says'),
    warm: z
      .union([z.literal('auto'), wholeNumber({ min: 0, max: 16 }, WARM)], explain(WARM))
      .default('auto')
      .describe('containers started ahead per slot; auto = 1 while jobs of a match keep coming, 0 = none'),
    warm_idle: seconds({ min: 1 })
      .default(60)
      .describe('seconds after which a container that was started ahead goes when no job came'),
    allowed_images: z
      .preprocess(
        splitList,
        z.array(text('the pattern of an image'), explain('a list of patterns, such as ["ghcr.io/org/*"]')),
      )
      .default([])
      .describe('patterns of images that may run; none = all'),
    min_free_disk: bytes({ min: 0 })
      .default(1024 ** 3)
      .describe("least free space of Docker's disk; below it images go that runners pulled; 0 = off"),
    limits: limits
      .default({})
      .describe('walls around every container; left out = what the engine does by itself'),
    gpus: gpuRequest().default(0).describe('what each job gets: 0, a number, all, or UUIDs'),
    matches: z
      .record(
        z.string().regex(UUID_OR_STAR, explain('the UUID of a match, or "*" for all others')),
        match,
        explain('a map of match UUIDs'),
      )
      .default({})
      .describe('where each match finds its images'),
    code_exec: codeExec,
    inference,
    fetcher,
    cancel_poll: seconds({ min: 0.1, max: 3600 })
      .default(5)
      .describe('seconds between two looks whether a job was cancelled'),
    files_root: text('a path')
      .optional()
      .describe('folder below which file:// may be used; left out = nowhere'),
    metrics_port: z
      .union(
        [wholeNumber({ min: 0, max: 65_535 }, METRICS), z.string().regex(HOST_AND_PORT, explain(METRICS))],
        explain(METRICS),
      )
      .optional()
      .describe('serve /metrics, /healthz and /readyz there; a port of loopback, or host:port'),
    endpoint_url: z
      .preprocess(
        (value) => (typeof value === 'string' ? { sqs: value, dynamodb: value } : value),
        z.strictObject(
          { sqs: httpUrl().optional(), dynamodb: httpUrl().optional(), s3: httpUrl().optional() },
          explain('a URL, or a map of sqs, dynamodb and s3 to URLs'),
        ),
      )
      .meta({ also: { type: 'string' } })
      .default({})
      .describe('other servers that speak the protocols of SQS, DynamoDB and S3'),
    opthub: z
      .strictObject(
        {
          api_url: httpUrl().optional().describe('the GraphQL API'),
          client_id: text('the id of an app client').optional().describe('app client of the user pool'),
          user_pool_id: z
            .string(explain(USER_POOL))
            .regex(/^[\w-]+_[A-Za-z0-9]+$/, explain(USER_POOL))
            .optional()
            .describe('user pool of Cognito'),
          region: text('the name of an AWS region')
            .regex(/^[a-z0-9-]+$/, explain('the name of an AWS region, such as ap-northeast-1'))
            .optional()
            .describe("its region; left out = the one in the pool's id"),
          cognito_url: httpUrl().optional().describe('another server that speaks the protocol of Cognito'),
        },
        explain('a map of api_url, client_id, user_pool_id, region and cognito_url'),
      )
      .default({})
      .describe('another OptHub than the real one, for tests and self-hosting'),
    docker: z
      .strictObject(
        {
          host: text('where Docker listens, such as unix:///var/run/docker.sock')
            .optional()
            .describe('left out = as the docker command finds it'),
          platform: platform().optional().describe('platform of images pulled, e.g. linux/amd64'),
          gpus: gpuList().optional().describe('UUIDs of the GPUs that jobs of this runner may get'),
          gpu_mode: choice(['auto', 'device', 'runtime', 'cdi'])
            .optional()
            .describe('how containers get their GPUs; auto = as it works'),
          registry_auth: z
            .record(
              z.string().regex(/^[A-Za-z0-9][\w.:/-]*$/, explain('the host of a registry, such as ghcr.io')),
              registryLogin,
              explain('a map of registries to logins'),
            )
            .default({})
            .describe("registry: login, where Docker's own config has none"),
        },
        explain('a map of host, platform, gpus, gpu_mode and registry_auth'),
      )
      .default({ registry_auth: {} })
      .describe('the Docker engine'),
  },
  explain('a map of keys'),
)

/** All settings, checked; durations in seconds, sizes in bytes, names as in the file. */
export type Config = z.infer<typeof configSchema>

/** `limits:` of the file. */
export type LimitsConfig = z.infer<typeof limits>

/** An entry of `matches:`. */
export type MatchConfig = z.infer<typeof match>

/** The keys of the top level, in the file's order. */
export const CONFIG_KEYS: readonly string[] = Object.keys(configSchema.shape)

/** The keys that may stand at `path`; undefined where any may, or where there is no map. */
export function keysAt(path: readonly string[]): readonly string[] | undefined {
  let schema: unknown = configSchema
  for (const key of path) {
    schema = unwrap(schema)
    if (schema instanceof z.ZodObject) schema = (schema.shape as Record<string, unknown>)[key]
    else if (schema instanceof z.ZodRecord) schema = schema.valueType
    else return undefined
  }
  schema = unwrap(schema)
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : undefined
}

function unwrap(schema: unknown): unknown {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return unwrap(schema.unwrap())
  return schema instanceof z.ZodPipe ? unwrap(schema.out) : schema
}

/** Keys whose values are never shown. */
export const SECRET_KEYS: ReadonlySet<string> = new Set(['access_key_id', 'secret_access_key'])

/** The JSON Schema of the file, for editors. */
export function configJsonSchema(): object {
  const schema = z.toJSONSchema(configSchema, {
    io: 'output',
    override({ zodSchema, jsonSchema }) {
      // What has a default may be left out, although it is always there in what the loader returns.
      const shape: Record<string, z.ZodType> = zodSchema instanceof z.ZodObject ? zodSchema.shape : {}
      const required = jsonSchema.required?.filter((key) => shape[key]?.safeParse(undefined).success !== true)
      if (required !== undefined) {
        if (required.length > 0) jsonSchema.required = required
        else delete jsonSchema.required
      }
      const also = z.globalRegistry.get(zodSchema)?.['also']
      if (typeof also === 'object' && also !== null && !Array.isArray(also)) {
        const typed = { ...jsonSchema }
        for (const key of Object.keys(typed)) Reflect.deleteProperty(jsonSchema, key)
        jsonSchema.anyOf = [typed, { ...also }]
      }
    },
  })
  // `also` is our own word, which zod copies and no JSON Schema knows.
  const text = JSON.stringify(schema, (key, value: unknown) => (key === 'also' ? undefined : value))
  return JSON.parse(text) as object
}

function platform() {
  return z
    .string(explain('a platform'))
    .regex(/^[a-z0-9]+\/[a-z0-9]+(\/[a-z0-9]+)?$/, explain('a platform, such as linux/amd64'))
}

/** How many GPUs, all, or which ones; a list may stand in one text, as a variable holds it. */
function gpuRequest() {
  return z.preprocess(
    (value) => {
      if (typeof value !== 'string') return value
      const word = value.trim()
      return word.toLowerCase() === 'all' ? 'all' : (parseNumber(word) ?? splitGpus(value))
    },
    z.union(
      [z.literal('all'), z.int(explain(GPUS)).min(0, explain(GPUS)).max(1024, explain(GPUS)), gpuList(GPUS)],
      explain(GPUS),
    ),
  )
}

function gpuList(expected = GPU_UUIDS) {
  const uuid = z.string(explain(GPU_UUID)).regex(LOOKS_LIKE_GPU, explain(GPU_UUID))
  return z.preprocess(splitGpus, z.array(uuid, explain(expected)).min(1, explain(expected)))
}

/** Text that holds something else is left to be refused as it stands. */
function splitGpus(value: unknown): unknown {
  const parts = splitList(value)
  return Array.isArray(parts) && parts.every((part) => LOOKS_LIKE_GPU.test(String(part))) ? parts : value
}

/** A list in one text, as a variable holds it. */
function splitList(value: unknown): unknown {
  return typeof value === 'string' ? value.split(/[\s,]+/).filter((part) => part !== '') : value
}

function isSafePath(path: string): boolean {
  return !/\p{Cc}/u.test(path) && path.split('/').every((part) => !['', '.', '..'].includes(part))
}
