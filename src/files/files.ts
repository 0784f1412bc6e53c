/** Why a file could not be moved, where the job (its message or its program) can act on it. */
export type FileErrorReason =
  | 'not_found'
  | 'denied'
  /** The far end says no to this request, and will again. */
  | 'refused'
  | 'checksum'
  | 'too_large'
  | 'too_many'
  | 'unsafe_path'
  | 'bad_url'
  | 'missing_output'
  | 'not_regular'
  /** It changed while it was read. */
  | 'changed'

/** The job's own fault; what the surroundings do wrong is a RetryableError. The message is fit for its sender. */
export class FileError extends Error {
  override readonly name = 'FileError'
  readonly reason: FileErrorReason
  /** Of the job's file; '' where no file of it is meant. */
  readonly path: string

  constructor(reason: FileErrorReason, path: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
    this.path = path
  }
}

/** A try of a carrier ended for a reason that may pass: cut, stalled, throttled, out of order. */
export class TransientError extends Error {
  override readonly name = 'TransientError'
  /** The far end asks for a pause of so long. */
  readonly retryAfterMs: number | undefined

  constructor(message: string, options: ErrorOptions & { retryAfterMs?: number | undefined } = {}) {
    super(message, options)
    this.retryAfterMs = options.retryAfterMs
  }
}

/** A file at the far end, and how it is asked for. */
export interface RemoteRequest {
  /** `s3://bucket/key` (the key as it is, nothing decoded), `https://…`, `http://…` or `file:///…` */
  url: string
  /** For http only; left out = GET for inputs; PUT for outputs, or POST where there are fields. */
  method?: string
  /** For http only. */
  headers?: Readonly<Record<string, string>>
  /** For a POST: the fields of the form, in this order, the file comes last. `{}` = a form of the file alone. */
  fields?: Readonly<Record<string, string>>
}

/** Gives the request anew before each try, since presigned URLs last minutes only. What it throws ends the transfer. */
export type Renew = (signal: AbortSignal) => Promise<RemoteRequest>

export interface InputFile extends RemoteRequest {
  /** Where it goes: relative, with slashes. */
  path: string
  /** Lower or upper case hex. */
  sha256?: string
  /** Takes the place of `url`, which then is only shown. */
  renew?: Renew
}

export interface OutputFile extends RemoteRequest {
  /** A file, or a folder: then the files below it go to names below `url` (or `${filename}` of a form's key). */
  path: string
  /** Media type, sent where the far end keeps it. */
  type?: string
  /** Takes the place of `url`, which then is only shown. For files alone. */
  renew?: Renew
}

export interface SentFile {
  path: string
  /** Without a query, which may be a signature. */
  url: string
  bytes: number
  /** Lower case hex. */
  sha256: string
  type?: string
}

export interface Progress {
  path: string
  /** Moved so far. */
  bytes: number
  /** Undefined while nobody knows. */
  total: number | undefined
}

export interface TransferOptions {
  signal: AbortSignal
  /** Of all files together. */
  maxBytes: number
  /** At most twice a second for each file, and once at its end. */
  onProgress?: (progress: Progress) => void
}

export interface UploadOptions extends TransferOptions {
  /** What was left out, and why: links, pipes, devices, names that are no text. */
  onSkip?: (skipped: Skipped) => void
  /** Left out = an output that is not there is a FileError, before anything is sent. */
  skipMissing?: boolean
}

/** Something in a folder that is no file to be sent. */
export interface Skipped {
  path: string
  /** E.g. `a symbolic link`. */
  why: string
}

/**
 * Moves files between folders of this machine and other places: streamed, tried again for some minutes (downloads go on
 * where they were cut). Throws FileError when the job can act, RetryableError('files' | 'credentials' | 'disk') when the
 * surroundings must change, the signal's reason when aborted.
 */
export interface Files {
  /** Fetches each into `folder`/path; folders are made. No file stands under its name before it is whole and right. */
  download(inputs: readonly InputFile[], folder: string, options: TransferOptions): Promise<void>
  /** Sends each; follows no link that the job may have made. In the order of `outputs`, of folders by name. */
  upload(outputs: readonly OutputFile[], folder: string, options: UploadOptions): Promise<SentFile[]>
  /** Something small, in memory. */
  readBytes(url: string, options: { signal: AbortSignal; maxBytes: number }): Promise<Uint8Array>
  writeBytes(
    url: string,
    data: Uint8Array,
    options: { signal: AbortSignal; contentType?: string },
  ): Promise<void>
  /** FileError('bad_url') for an address that could never be used here; asks nobody. */
  assertUsable(url: string): Promise<void>
  close(): void
}

/** Where a read goes on. */
export interface Position {
  offset: number
  /** Of the content that the bytes before came from; '' = nothing is known, and offset is 0. */
  version: string
}

/** One answer to a read. */
export interface Reading {
  /** The asked offset, or 0 when the far end begins anew. */
  offset: number
  /** Of the whole content; undefined = not told. */
  total: number | undefined
  /** '' = the far end can't tell one content from another, so a cut means to begin anew. */
  version: string
  body: AsyncIterable<Uint8Array>
}

/** What is sent. */
export interface Content {
  /** The name that a form tells. */
  name: string
  bytes: number
  type: string | undefined
  /** From the beginning, once for each try. Throws FileError('changed') when it is not `bytes` long any more. */
  open(): AsyncIterable<Uint8Array>
}

/**
 * What moves bytes for one sort of address. One try at a time: TransientError when another may help, else FileError or
 * RetryableError. No error holds the query of a URL, nor headers.
 */
export interface Carrier {
  /** FileError('bad_url') when it could never be used. */
  assertUsable(url: string): void
  read(request: RemoteRequest, from: Position, signal: AbortSignal): Promise<Reading>
  write(request: RemoteRequest, content: Content, signal: AbortSignal): Promise<void>
  /** The address of `path` below a folder's; FileError('bad_url') when there is no such thing. */
  below(request: RemoteRequest, path: string): RemoteRequest
  close(): void
}
