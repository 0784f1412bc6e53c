import { z } from 'zod'
import { isPublicAddress } from '../core/addresses.ts'
import { anyNumber, bytes, explain, flag, queueUrl, text, wholeNumber } from './fields.ts'

const COMMAND = 'a list of words, such as ["python3", "main.py"]'
const PATTERNS = 'true, false, or a list of patterns, such as ["ghcr.io/org/*"]'
const ADDRESSES = 'a list of addresses, such as [1.1.1.1]'
const HOSTS = 'a list of hosts, such as [minio.example.com]'
const PUBLIC_ADDRESS =
  'a public IP address, such as 1.1.1.1: private networks are closed to jobs, with the name servers in them'
const FILE_NAME = 'the name of a file, such as main.py'

const words = z
  .array(z.string(explain('text')), explain(COMMAND))
  .min(1, explain('a list of at least one word'))

const language = z.strictObject(
  {
    image: text('the name of an image').optional(),
    command: words.optional(),
    file: z
      .string(explain(FILE_NAME))
      .regex(/^[A-Za-z0-9_][\w.-]{0,100}$/, explain(FILE_NAME))
      .optional(),
    compile: words.optional(),
  },
  explain('a map with `image`'),
)

interface LimitValues {
  wall_time_ms: number
  cpu_time_ms: number
  memory_bytes: number
  pids: number
  output_bytes: number
  file_size_bytes: number
  disk_bytes: number
  open_files: number
  cpus: number
}

const DEFAULT_LIMITS: LimitValues = {
  wall_time_ms: 10_000,
  cpu_time_ms: 10_000,
  memory_bytes: 256 * 1024 ** 2,
  pids: 64,
  output_bytes: 128 * 1024,
  file_size_bytes: 16 * 1024 ** 2,
  disk_bytes: 64 * 1024 ** 2,
  open_files: 256,
  cpus: 1,
}

const LARGEST_LIMITS: LimitValues = {
  wall_time_ms: 600_000,
  cpu_time_ms: 600_000,
  memory_bytes: 2 * 1024 ** 3,
  pids: 512,
  output_bytes: 16 * 1024 ** 2,
  file_size_bytes: 1024 ** 3,
  disk_bytes: 1024 ** 3,
  open_files: 4096,
  cpus: 4,
}

/** `code_exec:` of the file: what jobs of untrusted code may have. */
export const codeExec = z
  .strictObject(
    {
      queue_url: queueUrl().describe('URL of its SQS queue'),
      languages: z
        .record(
          z
            .string()
            .regex(/^[a-z0-9][a-z0-9_+#.-]{0,31}$/, explain('the name of a language, in small letters')),
          language,
          explain('a map of languages'),
        )
        .default({})
        .describe('language: {image, command, file, compile}; what is left out of a known one stays'),
      allow_images: z
        .union([flag(), z.array(text('the pattern of an image'), explain(PATTERNS))], explain(PATTERNS))
        .default(false)
        .describe('whether a job may name an image of its own: true, false, or patterns of images'),
      allow_internet: flag().default(false).describe('whether a job may ask for the internet'),
      network_image: text('the name of an image')
        .optional()
        .describe('image with `sh` and `ip`, which closes the private networks to jobs with internet'),
      dns: z
        .array(
          z.string(explain('an address')).refine(isPublicAddress, explain(PUBLIC_ADDRESS)),
          explain(ADDRESSES),
        )
        .min(1, explain(ADDRESSES))
        .default(['1.1.1.1', '8.8.8.8'])
        .describe('public name servers of jobs with internet'),
      max_file_bytes: bytes({ min: 1 })
        .default(1024 ** 3)
        .describe('most bytes of the inputs of one job together'),
      private_hosts: z
        .array(text('the name or the address of a host'), explain(HOSTS))
        .default([])
        .describe('hosts that are asked for files though they are not in the public internet'),
      runtime: text('the name of an OCI runtime').optional().describe('OCI runtime, such as runsc or kata'),
      limits: limits(DEFAULT_LIMITS).describe('walls of a job that asks for nothing else'),
      max_limits: limits(LARGEST_LIMITS).describe('most that a job may ask for'),
    },
    explain('a map of settings'),
  )
  .prefault({})
  .describe('the sandbox of the code-exec kind')

function limits(defaults: LimitValues) {
  return z
    .strictObject(
      {
        wall_time_ms: wholeNumber({ min: 1 }).default(defaults.wall_time_ms),
        cpu_time_ms: wholeNumber({ min: 1 }).default(defaults.cpu_time_ms),
        memory_bytes: bytes({ min: 6 * 1024 ** 2 }).default(defaults.memory_bytes),
        pids: wholeNumber({ min: 1 }).default(defaults.pids),
        output_bytes: bytes({ min: 1 }).default(defaults.output_bytes),
        file_size_bytes: bytes({ min: 1 }).default(defaults.file_size_bytes),
        disk_bytes: bytes({ min: 4096 }).default(defaults.disk_bytes),
        open_files: wholeNumber({ min: 16 }).default(defaults.open_files),
        cpus: anyNumber({ min: 0.01 }).default(defaults.cpus),
      },
      explain('a map of limits'),
    )
    .prefault({})
}
