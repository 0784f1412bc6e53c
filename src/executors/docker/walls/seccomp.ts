import { ALLOWED_CALLS } from './seccomp-calls.ts'

interface Rule {
  names: readonly string[]
  action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO'
  errnoRet?: number
  args?: readonly {
    index: number
    op: 'SCMP_CMP_EQ' | 'SCMP_CMP_MASKED_EQ'
    value: number
    valueTwo?: number
  }[]
}

const EPERM = 1
const ENOSYS = 38

/** Families of sockets, by their names in socket(2). */
const AF = { UNIX: 1, INET: 2, INET6: 10, NETLINK: 16 } as const

/** All flags of clone(2) that ask for a namespace: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NAMESPACE_FLAGS = 0x7e02_0000

/** What is asked of personality(2) to learn it, and the one that Linux programs have. */
const PERSONALITIES = [0xffff_ffff, 0]

/**
 * Where this profile is stricter than the engine's own. Besides, it allows no call that the engine allows by a
 * capability, since a program within walls has none (mount, setns, unshare, bpf, perf_event_open, open_by_handle_at,
 * reboot, swapon, kexec, modules, the clock, the kernel's log …). test/docker/walls/ tries each of them.
 *
 * - 32-bit and x32 programs: their calls have other numbers and forms. `socketcall` hands over its arguments in memory,
 *   which no filter sees, and so walks around every rule for sockets.
 * - io_uring_*: what is asked for through its rings passes no filter at all; and it was the way out of many a container.
 * - ptrace, process_vm_readv, process_vm_writev: one process has no business in another one's memory.
 * - name_to_handle_at: the first half of walking out of a file system by handles.
 * - socket: four families only. The others (AF_ALG, AF_VSOCK, AF_PACKET, AF_RDS, AF_TIPC …) make the kernel load code that
 *   few look after, or, like AF_VSOCK, belong to no network namespace.
 * - socketpair: AF_UNIX only; else it would walk around the rule for `socket`.
 * - personality: no other than a Linux program's own; no 32-bit disguise, no switching off of address randomisation.
 * - modify_ldt, fanotify_mark: nothing that runs here needs them.
 */
const RULES: readonly Rule[] = [
  {
    names: Object.values(ALLOWED_CALLS).flatMap((names) => names.trim().split(/\s+/)),
    action: 'SCMP_ACT_ALLOW',
  },
  ...Object.values(AF).map((family) => allowed('socket', family)),
  allowed('socketpair', AF.UNIX),
  ...PERSONALITIES.map((personality) => allowed('personality', personality)),
  {
    names: ['clone'],
    action: 'SCMP_ACT_ALLOW',
    // Value is the mask here.
    args: [{ index: 0, op: 'SCMP_CMP_MASKED_EQ', value: NAMESPACE_FLAGS, valueTwo: 0 }],
  },
  // Its flags are in memory, which no filter sees. The C library takes this answer for an old kernel's, and uses clone.
  { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
]

/** The system calls of a task within walls, as the engine takes them: everything that is not named is refused. */
export const SECCOMP_PROFILE = JSON.stringify({
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: EPERM,
  // The engine takes the one that is its own.
  archMap: [
    { architecture: 'SCMP_ARCH_X86_64', subArchitectures: [] },
    { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: [] },
  ],
  syscalls: RULES,
})

/** Allows a call whose first argument is this one. */
function allowed(name: string, value: number): Rule {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, op: 'SCMP_CMP_EQ', value }] }
}
