import { z } from 'zod'
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

const WORDS = 'a list of words, such as ["--model", "/model"]'
const PATTERNS = 'true, false, or a list of patterns, such as ["ghcr.io/org/*"]'
const FOR_EVER = 'seconds, such as 300 or 10m; 0 = end it at once, -1 = keep it for ever'
const SOCKET = 'an absolute path, such as /run/model/model.sock'
const PATH = 'a path, such as /health'
const PORT = { min: 1, max: 65_535 }

/** `inference:` of the file: which models are called, and how. */
export const inference = z
  .strictObject(
    {
      queue_url: queueUrl().describe('URL of its SQS queue'),
      image: text('the name of an image')
        .optional()
        .describe('image of the model, for messages that name none'),
      mode: choice(['oneshot', 'jsonl', 'server'])
        .default('oneshot')
        .describe('how it is called where the message says nothing: oneshot, jsonl or server'),
      protocol: choice(['openai', 'kserve', 'triton-generate', 'cog', 'raw'])
        .default('openai')
        .describe('what its server speaks where the message says nothing'),
      args: z
        .array(z.string(explain('text')), explain(WORDS))
        .optional()
        .describe('arguments of `image`; left out = its own'),
      environment: z
        .record(
          z.string().regex(/^[^=\0]+$/, explain('the name of an environment variable')),
          z
            .string(explain('text ("" for none)'))
            .regex(/^[^\0]*$/, explain('text without NUL'))
            .meta({ also: { type: ['number', 'boolean'] } }),
          explain('a map of names to values'),
        )
        .default({})
        .describe('environment of `image`'),
      allow_images: z
        .union([flag(), z.array(text('the pattern of an image'), explain(PATTERNS))], explain(PATTERNS))
        .default(true)
        .describe('whether a message may name an image: true, false, or patterns of images'),
      server: z
        .strictObject(
          {
            port: wholeNumber(PORT).default(8000).describe('where the server in the container listens'),
            socket: z
              .string(explain(SOCKET))
              .regex(/^\/[^\s\p{Cc}]+\/[^\s\p{Cc}/]+$/u, explain(SOCKET))
              .optional()
              .describe('the unix socket that it listens on, in place of a port: then it needs no network'),
            health_path: z
              .string(explain(PATH))
              .regex(/^\/[\x21-\x7e]*$/, explain(PATH))
              .optional()
              .describe("asked whether it is ready, in place of the protocol's own path"),
            max_concurrency: wholeNumber({ min: 1, max: 1000 })
              .default(1)
              .describe('calls that one container takes at a time'),
          },
          explain('a map of port, socket, health_path and max_concurrency'),
        )
        .prefault({})
        .describe('the server in a container'),
      startup_timeout: seconds({ above: 0 })
        .default(1200)
        .describe('seconds that a container may take until its model is ready'),
      keep_alive: z
        .preprocess(
          (value) => (value === '-1' ? -1 : value),
          z.union([z.literal(-1), seconds({ min: 0 })], explain(FOR_EVER)),
        )
        .default(300)
        .describe('seconds that a container stays after its last call; -1 = for ever'),
      max_warm: wholeNumber({ min: 0, max: 1000 })
        .optional()
        .describe('most containers without a call; left out = the number of GPUs, and 3 without GPU'),
      preload: flag()
        .default(false)
        .describe('load the model of `image` first, and receive nothing while it is not ready'),
      timeout: seconds({ above: 0 })
        .default(600)
        .describe('seconds that a call may take, unless its message says otherwise'),
      network: choice(['default', 'none'])
        .optional()
        .describe('of containers; left out = none, but what a published port needs'),
      limits: sizes('what a job has that asks for nothing else'),
      max_limits: sizes('most that a job may ask for; left out = no bound'),
      model: text('the name of a model')
        .optional()
        .describe('name of the model on the server, for requests that name none'),
      url: httpUrl()
        .optional()
        .describe('a server that runs already, and answers in place of containers (protocol says how)'),
      api_key: text('a key')
        .optional()
        .describe('sent to it as a bearer token; better env:NAME or file:PATH'),
      triton: z
        .strictObject(
          {
            host: text('the name of a host').optional().describe('where Triton runs already'),
            port: wholeNumber(PORT).default(8001).describe('8001 is its gRPC, 8000 its HTTP'),
            protocol: choice(['grpc', 'http'])
              .optional()
              .describe('what is spoken there; left out = http at port 8000, else grpc'),
          },
          explain('a map of host, port and protocol'),
        )
        .prefault({})
        .describe('a Triton that runs already, and answers in place of containers'),
      tokenizer: text('a path')
        .optional()
        .describe('tokenizer.json of a model that takes token ids, for prompts in the completions form'),
      max_file_bytes: bytes({ min: 1 })
        .default(1024 ** 3)
        .describe('most bytes of files that are moved for one job'),
    },
    explain('a map of settings'),
  )
  .prefault({})
  .describe('calls of models (the inference kind)')

function sizes(description: string) {
  return z
    .strictObject(
      {
        cpus: anyNumber({ above: 0 }).optional(),
        memory: bytes({ min: 6 * 1024 ** 2 }).optional(),
        shm_size: bytes({ min: 1 }).optional(),
        gpus: wholeNumber({ min: 0, max: 64 }).optional(),
      },
      explain('a map of cpus, memory, shm_size and gpus'),
    )
    .prefault({})
    .describe(description)
}
