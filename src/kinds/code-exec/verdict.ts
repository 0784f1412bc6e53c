import type { CodeExecStatus } from '../../records/code-exec.ts'

/** How a program ended, as far as we and the engine can tell; nothing of it is the program's own word but its code. */
export interface Ending {
  /** Why we killed it. */
  killedFor: 'canceled' | 'output' | 'wall_time' | 'cpu_time' | undefined
  exitCode: number
  /** The engine saw an out-of-memory kill in its container. */
  oomKilled: boolean
  /** All CPU time that it may have is used up. */
  isCpuSpent: boolean
  /** A file that must be there is not, or can't be had. */
  lacksArtifact: boolean
}

export interface Verdict {
  status: CodeExecStatus
  /** Its name, where the program died by one that was not ours. */
  signal: string | null
}

/** Linux's own, in their order from 1 on. */
const SIGNALS = [
  ...[
    'HUP',
    'INT',
    'QUIT',
    'ILL',
    'TRAP',
    'ABRT',
    'BUS',
    'FPE',
    'KILL',
    'USR1',
    'SEGV',
    'USR2',
    'PIPE',
    'ALRM',
    'TERM',
  ],
  ...[
    'STKFLT',
    'CHLD',
    'CONT',
    'STOP',
    'TSTP',
    'TTIN',
    'TTOU',
    'URG',
    'XCPU',
    'XFSZ',
    'VTALRM',
    'PROF',
    'WINCH',
    'IO',
  ],
  ...['PWR', 'SYS'],
]
const KILLED = 137
const CPU_SPENT = 152

/** What the end of a program means: the first rule that holds. */
export function verdictOf({ killedFor, exitCode, oomKilled, isCpuSpent, lacksArtifact }: Ending): Verdict {
  if (killedFor === 'canceled') return { status: 'canceled', signal: null }
  if (killedFor === 'output') return { status: 'output_limit_exceeded', signal: null }
  // The kernel ends a process at its own limit, which is of our making too.
  const isOurKernels = isCpuSpent && !oomKilled && (exitCode === KILLED || exitCode === CPU_SPENT)
  if (killedFor !== undefined || isOurKernels) return { status: 'time_limit_exceeded', signal: null }
  if (oomKilled && exitCode === KILLED) return { status: 'memory_limit_exceeded', signal: null }
  const name = SIGNALS[exitCode - 129]
  if (name !== undefined) return { status: 'signaled', signal: `SIG${name}` }
  if (exitCode !== 0) return { status: 'runtime_error', signal: null }
  return { status: lacksArtifact ? 'file_error' : 'success', signal: null }
}
