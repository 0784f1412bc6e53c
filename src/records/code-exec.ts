import { fromPlain, type Json, type JsonObject } from '../core/json.ts'
import type { Item, Key } from '../stores/store.ts'
import { formatTime } from './result.ts'

/** How a job of untrusted code has ended. */
export const FINAL_STATUSES = [
  'rejected',
  'canceled',
  'compile_error',
  'output_limit_exceeded',
  'time_limit_exceeded',
  'memory_limit_exceeded',
  'signaled',
  'runtime_error',
  'file_error',
  'success',
] as const
export type CodeExecStatus = (typeof FINAL_STATUSES)[number]

/** The beginning of what a program has printed. */
export interface PrintedOutput {
  bytes: Uint8Array
  /** Of all that it has printed. */
  totalBytes: number
}

/** A file that a job has left in its working folder. */
export interface Artifact {
  path: string
  content: Uint8Array
  /** In hex. */
  sha256: string
}

/** A file that was sent to a URL. */
export interface SentArtifact {
  path: string
  bytes: number
  /** In hex. */
  sha256: string
  /** Without a query, which may be a signature. */
  url: string
}

/** A file that can't be had, and why. */
export interface SkippedArtifact {
  path: string
  reason: string
}

/** What came of a job, by whatever way it came. */
export interface CodeExecOutcome {
  status: CodeExecStatus
  /** What was wrong, where the status alone does not say it. */
  errorMessage?: string | undefined
  /** Null when no program ran. */
  exitCode: number | null
  signal: string | null
  oomKilled: boolean
  stdout: PrintedOutput
  stderr: PrintedOutput
  /** Milliseconds that the program ran; null when none did. */
  wallMs: number | null
  /** Null when unknown. */
  cpuMs: number | null
  memoryPeakBytes: number | null
  /** The effective ones, as messages spell them; null when the job had none yet. */
  limits: Readonly<Record<string, number>> | null
  artifacts: readonly Artifact[]
  artifactsSkipped: readonly SkippedArtifact[]
  /** What went to the job's outputs. */
  sent?: readonly SentArtifact[]
  /** Null when no container was started. */
  sandbox: { imageDigest: string; runtime: string; start: 'warm' | 'cold' } | null
}

/** What an item tells of a job besides its outcome. */
export interface CodeExecRun {
  id: string
  /** Of the attempt that writes it. */
  token: string
  attempt: number
  queueMs: number | null
  prepareMs: number | null
  createdAt: string
  startedAt: Date | undefined
  finishedAt: Date
  metadata: JsonObject
}

/** Bytes that stdout and stderr may take in an item together. */
const OUTPUT_BYTES = 300_000
/** Bytes that an item may take; the table holds 409 600, and not all is counted here to the byte. */
const ITEM_BYTES = 400_000
/** What an item takes at most besides its output and the content of its artifacts. */
const FRAME_BYTES = 90_000

/** What telling of a file takes besides its name and URL. */
const ENTRY_BYTES = 128

/** Where the one item of a job stands. */
export function codeExecKey(id: string): Key {
  return { ID: `CodeExecs#${id}`, Trial: 'Job' }
}

/** The item of a job that nobody has begun. */
export function queuedItem(id: string, createdAt: Date): Item {
  return { ...codeExecKey(id), Status: 'queued', CreatedAt: formatTime(createdAt), IgnoreStream: true }
}

/** What an attempt says when it begins. */
export function runningItem(
  run: Pick<CodeExecRun, 'id' | 'token' | 'attempt' | 'createdAt'>,
  startedAt: Date,
): Item {
  return {
    ...codeExecKey(run.id),
    Status: 'running',
    Token: run.token,
    Sandbox: fromPlain({ Attempt: run.attempt }),
    CreatedAt: run.createdAt,
    StartedAt: formatTime(startedAt),
    IgnoreStream: true,
  }
}

/** The item of a job that has ended. */
export function finishedItem(run: CodeExecRun, outcome: CodeExecOutcome): Item {
  const { stdout, stderr } = outcome
  const [forStdout, forStderr] = share(encode(stdout), encode(stderr))
  const artifacts = outcome.artifacts.map(artifactJson)
  const taken = forStdout + forStderr + sumOf(outcome.artifacts.map(({ content }) => jsonRoom(content)))
  const { listed, unlisted } = listingOf(outcome.sent ?? [], ITEM_BYTES - FRAME_BYTES - taken)
  return {
    ...codeExecKey(run.id),
    Status: outcome.status,
    ...(outcome.errorMessage === undefined ? {} : { ErrorMessage: outcome.errorMessage.slice(0, 2048) }),
    ExitCode: fromPlain(outcome.exitCode),
    Signal: outcome.signal,
    OomKilled: outcome.oomKilled,
    ...outputFields('Stdout', stdout, forStdout),
    ...outputFields('Stderr', stderr, forStderr),
    Time: fromPlain({
      QueueMs: whole(run.queueMs),
      PrepareMs: whole(run.prepareMs),
      WallMs: whole(outcome.wallMs),
      CpuMs: whole(outcome.cpuMs),
    }),
    MemoryPeakBytes: fromPlain(outcome.memoryPeakBytes),
    Limits: fromPlain(outcome.limits),
    Artifacts: [...artifacts, ...listed],
    ...(unlisted === 0 ? {} : { ArtifactsUnlisted: fromPlain(unlisted) }),
    ArtifactsSkipped: fromPlain(
      outcome.artifactsSkipped.map(({ path, reason }) => ({ Path: path, Reason: reason })),
    ),
    Sandbox: fromPlain(
      outcome.sandbox && {
        ImageDigest: outcome.sandbox.imageDigest,
        Runtime: outcome.sandbox.runtime,
        Start: outcome.sandbox.start,
        Attempt: run.attempt,
      },
    ),
    CreatedAt: run.createdAt,
    StartedAt: run.startedAt === undefined ? null : formatTime(run.startedAt),
    FinishedAt: formatTime(run.finishedAt),
    Metadata: run.metadata,
    Token: run.token,
    IgnoreStream: true,
  }
}

/** Bytes that the artifacts of a job may have together, so that they fit into its item beside its output. */
export function roomForArtifacts({
  stdout,
  stderr,
}: {
  stdout: PrintedOutput
  stderr: PrintedOutput
}): number {
  const [forStdout, forStderr] = share(encode(stdout), encode(stderr))
  // Base64 makes four of three.
  return Math.floor(((ITEM_BYTES - FRAME_BYTES - forStdout - forStderr) * 3) / 4)
}

/** Whether a job has its result. */
export function isFinal(item: Item): boolean {
  return FINAL_STATUSES.some((status) => status === item['Status'])
}

interface Encoded {
  encoding: 'utf8' | 'base64'
  text: string
}

/** A cut character at the end of a beginning does not make the rest binary. */
function encode({ bytes, totalBytes }: PrintedOutput, most = Number.POSITIVE_INFINITY): Encoded {
  const part = bytes.subarray(0, most)
  const text = decode(part) ?? (part.length < totalBytes ? decode(withoutCutCharacter(part)) : undefined)
  if (text !== undefined) return { encoding: 'utf8', text }
  const fitting = most === Number.POSITIVE_INFINITY ? part : part.subarray(0, Math.floor(most / 4) * 3)
  return { encoding: 'base64', text: Buffer.from(fitting).toString('base64') }
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function withoutCutCharacter(bytes: Uint8Array): Uint8Array {
  let start = bytes.length - 1
  while (start > bytes.length - 4 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start -= 1
  return (bytes[start] ?? 0) >= 0xc0 ? bytes.subarray(0, start) : bytes
}

/** How many bytes each of two outputs may take, one making use of what the other leaves. */
function share(stdout: Encoded, stderr: Encoded): [number, number] {
  const [out, error] = [Buffer.byteLength(stdout.text), Buffer.byteLength(stderr.text)]
  const half = OUTPUT_BYTES / 2
  return [
    Math.min(out, Math.max(half, OUTPUT_BYTES - error)),
    Math.min(error, Math.max(half, OUTPUT_BYTES - out)),
  ]
}

function outputFields(name: 'Stdout' | 'Stderr', output: PrintedOutput, most: number): Item {
  const whole = encode(output)
  const fits = Buffer.byteLength(whole.text) <= most
  const { encoding, text } = fits ? whole : encode({ ...output, totalBytes: Infinity }, most)
  return {
    [name]: text,
    [`${name}Bytes`]: fromPlain(output.totalBytes),
    [`${name}Truncated`]: !fits || output.bytes.length < output.totalBytes,
    [`${name}Encoding`]: encoding,
  }
}

function artifactJson({ path, content, sha256 }: Artifact): Json {
  const text = decode(content)
  return fromPlain({
    Path: path,
    Bytes: content.length,
    Sha256: sha256,
    Url: null,
    Encoding: text === undefined ? 'base64' : 'utf8',
    Content: text ?? Buffer.from(content).toString('base64'),
  })
}

/** What the content of an artifact takes at most: base64 makes four of three. */
function jsonRoom({ length }: Uint8Array): number {
  return 4 * Math.ceil(length / 3)
}

/** As much of what was sent as there is room for, and how many there are besides. */
function listingOf(sent: readonly SentArtifact[], room: number): { listed: Json[]; unlisted: number } {
  const listed: Json[] = []
  let left = room
  for (const { path, bytes, sha256, url } of sent) {
    left -= Buffer.byteLength(path) + Buffer.byteLength(url) + ENTRY_BYTES
    if (left < 0) break
    listed.push(fromPlain({ Path: path, Bytes: bytes, Sha256: sha256, Url: url }))
  }
  return { listed, unlisted: sent.length - listed.length }
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0)
}

function whole(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms)
}
