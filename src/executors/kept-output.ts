import { escapeControls } from '../core/text.ts'
import type { OutputListener } from './kept.ts'
import { Tail } from './output.ts'
import type { OutputChunk, Task } from './executor.ts'

const TAIL_BYTES = 8192
/** Longer than any of the words that are looked for. */
const OVERLAP = 64
const GPU_OOM = /CUDA out of memory|torch\.(cuda\.)?OutOfMemoryError|CUDA_ERROR_OUT_OF_MEMORY/
const GPU_LOST = /Failed to initialize NVML/
/** A character of UTF-8 that is not the first byte of one. */
const CONTINUATION = 0x80

/** What a kept container prints: read to its end by whoever is there, its last part kept, and searched for bad news. */
export class KeptOutput {
  /** Apart, since a program that says much on one hides what it says on the other, and their order is not certain. */
  readonly #tails = { stdout: new Tail(TAIL_BYTES), stderr: new Tail(TAIL_BYTES) }
  #before = ''
  /** A GPU has run out of memory. */
  isGpuOom = false
  /** What runs in the container can't be trusted to work any more. */
  isTainted = false

  /** Reads all of it; resolves at its end, and never rejects. `onTaint` hears of the first bad news. */
  async follow(task: Task, listener: OutputListener | undefined, onTaint: () => void): Promise<void> {
    try {
      for await (const chunk of task.output()) {
        if (listener?.takesStdout !== true || chunk.stream === 'stderr') this.#note(chunk, onTaint)
        await listener?.onOutput(chunk)
      }
    } catch {
      // The engine went away: `wait` says so too.
    }
  }

  /** Forgets bad news: what came before the container was ready has not kept it from that. */
  pardon(): void {
    this.isTainted = false
    this.isGpuOom = false
  }

  /** Standard output before standard error, each with at least half of the room; nothing in it steers a terminal. */
  tail(): string {
    const [out, err] = [this.#tails.stdout.bytes(), this.#tails.stderr.bytes()]
    const errBytes = Math.min(err.length, Math.max(TAIL_BYTES / 2, TAIL_BYTES - out.length))
    const text = lastText(out, TAIL_BYTES - errBytes) + lastText(err, errBytes)
    return escapeControls(text.replaceAll('\r\n', '\n'))
  }

  #note({ stream, data }: OutputChunk, onTaint: () => void): void {
    this.#tails[stream].add(data)
    const text = this.#before + Buffer.from(data).toString('latin1')
    this.#before = text.slice(-OVERLAP)
    if (GPU_OOM.test(text)) this.isGpuOom = true
    if (this.isTainted || !(this.isGpuOom || GPU_LOST.test(text))) return
    this.isTainted = true
    onTaint()
  }
}

function lastText(bytes: Uint8Array, most: number): string {
  let start = Math.max(0, bytes.length - most)
  // Not from the middle of a character.
  while (start < bytes.length && ((bytes[start] ?? 0) & 0xc0) === CONTINUATION) start += 1
  return Buffer.from(bytes.subarray(start)).toString('utf8')
}
