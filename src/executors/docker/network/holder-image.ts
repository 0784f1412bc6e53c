import type { Engine } from '../api/engine.ts'
import { engineKind } from '../api/engine-kind.ts'
import { importImage } from '../images/import-image.ts'

/** Changes with the program below, so that runners of two versions don't replace each other's image. */
const TAG = 'opthub-runner/network-holder:1'
const PATH = '/hold'

/**
 * Makes the image of network holders, unless it is there: one program of less than 200 bytes. Its id; undefined for an
 * engine on a processor that we have no program for.
 */
export async function importHolderImage(engine: Engine): Promise<string | undefined> {
  const { os, architecture } = await engineKind(engine)
  const program = os === 'linux' ? holderProgram(architecture) : undefined
  if (program === undefined) return undefined
  const entries = [{ path: PATH, type: 'text', content: program, mode: 0o755 } as const]
  const { id } = await importImage(engine, { tag: TAG, entries, command: [PATH] })
  return id
}

/**
 * A static Linux program that waits for a signal, then ends; undefined for architectures (as Docker names them) that
 * we have none for. As the first process of its container it would never see a signal that it neither handles nor
 * blocks; so it blocks them all, and waits for the first.
 */
export function holderProgram(architecture: string): Uint8Array | undefined {
  if (architecture === 'amd64') return elf(EM_X86_64, Buffer.from(AMD64.join(''), 'hex'))
  if (architecture !== 'arm64') return undefined
  const code = Buffer.alloc(4 * ARM64.length)
  ARM64.forEach((instruction, index) => code.writeUInt32LE(instruction, 4 * index))
  return elf(EM_AARCH64, code)
}

/** See `man 2 rt_sigprocmask`, `man 2 rt_sigtimedwait` and `man 2 syscall` for numbers and registers. */
const AMD64 = [
  '6aff', //       push -1              the set of all signals, on the stack
  '4889e6', //     mov  rsi, rsp        set
  '31ff', //       xor  edi, edi        SIG_BLOCK
  '31d2', //       xor  edx, edx        no old set; below: no timeout
  '6a08415a', //   push 8; pop r10      size of a set
  '6a0e58', //     push 14; pop rax     rt_sigprocmask
  '0f05', //       syscall
  '4889e7', // 1:  mov  rdi, rsp        set
  '31f6', //       xor  esi, esi        no information wanted
  'b880000000', // mov  eax, 128        rt_sigtimedwait
  '0f05', //       syscall              the number of the signal, or -EINTR
  '85c0', //       test eax, eax
  '78f0', //       js   1b
  '31ff', //       xor  edi, edi        status 0
  '6a3c58', //     push 60; pop rax     exit
  '0f05', //       syscall
]

const ARM64 = [
  0x92800000, //    mov  x0, #-1        the set of all signals, on the stack
  0xf81f0fe0, //    str  x0, [sp, #-16]!
  0xd2800000, //    mov  x0, #0         SIG_BLOCK
  0x910003e1, //    mov  x1, sp         set
  0xd2800002, //    mov  x2, #0         no old set; below: no timeout
  0xd2800103, //    mov  x3, #8         size of a set
  0xd28010e8, //    mov  x8, #135       rt_sigprocmask
  0xd4000001, //    svc  #0
  0x910003e0, // 1: mov  x0, sp         set
  0xd2800001, //    mov  x1, #0         no information wanted
  0xd2801128, //    mov  x8, #137       rt_sigtimedwait
  0xd4000001, //    svc  #0             the number of the signal, or -EINTR
  0xb7ffff80, //    tbnz x0, #63, 1b
  0xd2800000, //    mov  x0, #0         status 0
  0xd2800ba8, //    mov  x8, #93        exit
  0xd4000001, //    svc  #0
]

const EM_X86_64 = 62
const EM_AARCH64 = 183
const HEADER_BYTES = 64
const SEGMENT_BYTES = 56
const ADDRESS = 0x400000n
/** The largest page that such a processor may have. */
const PAGE = 0x10000n

/** A 64-bit ELF executable of one segment: both headers and the code (see `man 5 elf`). */
function elf(machine: number, code: Uint8Array): Uint8Array {
  const file = Buffer.alloc(HEADER_BYTES + SEGMENT_BYTES + code.length)
  const size = BigInt(file.length)
  file.write('\x7fELF\x02\x01\x01', 'latin1') // 64 bits, little-endian, version 1
  file.writeUInt16LE(2, 16) //                   e_type: executable at a fixed address
  file.writeUInt16LE(machine, 18)
  file.writeUInt32LE(1, 20) //                   e_version
  file.writeBigUInt64LE(ADDRESS + BigInt(HEADER_BYTES + SEGMENT_BYTES), 24) // e_entry
  file.writeBigUInt64LE(BigInt(HEADER_BYTES), 32) // e_phoff
  file.writeUInt16LE(HEADER_BYTES, 52) //        e_ehsize
  file.writeUInt16LE(SEGMENT_BYTES, 54) //       e_phentsize
  file.writeUInt16LE(1, 56) //                   e_phnum
  file.writeUInt32LE(1, 64) //                   p_type: to be loaded
  file.writeUInt32LE(5, 68) //                   p_flags: readable, executable
  file.writeBigUInt64LE(ADDRESS, 80) //          p_vaddr
  file.writeBigUInt64LE(ADDRESS, 88) //          p_paddr
  file.writeBigUInt64LE(size, 96) //             p_filesz
  file.writeBigUInt64LE(size, 104) //            p_memsz
  file.writeBigUInt64LE(PAGE, 112) //            p_align
  file.set(code, HEADER_BYTES + SEGMENT_BYTES)
  return file
}
