import { describe, expect, test } from 'vitest'
import { verdictOf, type Ending } from '../../../../src/kinds/code-exec/verdict.ts'

const CLEAN: Ending = {
  killedFor: undefined,
  exitCode: 0,
  oomKilled: false,
  isCpuSpent: false,
  lacksArtifact: false,
}

describe('the end of a program', () => {
  test.each<[Partial<Ending>, string, string | null]>([
    [{}, 'success', null],
    [{ lacksArtifact: true }, 'file_error', null],
    [{ exitCode: 1 }, 'runtime_error', null],
    [{ exitCode: 1, lacksArtifact: true }, 'runtime_error', null],
    [{ exitCode: 128 }, 'runtime_error', null],
    [{ exitCode: 160 }, 'runtime_error', null],
    [{ exitCode: 255 }, 'runtime_error', null],
    [{ exitCode: 129 }, 'signaled', 'SIGHUP'],
    [{ exitCode: 134 }, 'signaled', 'SIGABRT'],
    [{ exitCode: 137 }, 'signaled', 'SIGKILL'],
    [{ exitCode: 139 }, 'signaled', 'SIGSEGV'],
    [{ exitCode: 143 }, 'signaled', 'SIGTERM'],
    [{ exitCode: 152 }, 'signaled', 'SIGXCPU'],
    [{ exitCode: 153 }, 'signaled', 'SIGXFSZ'],
    [{ exitCode: 159 }, 'signaled', 'SIGSYS'],
    [{ exitCode: 137, oomKilled: true }, 'memory_limit_exceeded', null],
    // A child's end for want of memory is not the program's.
    [{ exitCode: 0, oomKilled: true }, 'success', null],
    [{ exitCode: 1, oomKilled: true }, 'runtime_error', null],
    [{ exitCode: 139, oomKilled: true }, 'signaled', 'SIGSEGV'],
    [{ exitCode: 137, killedFor: 'wall_time' }, 'time_limit_exceeded', null],
    [{ exitCode: 137, killedFor: 'cpu_time' }, 'time_limit_exceeded', null],
    [{ exitCode: 137, killedFor: 'wall_time', oomKilled: true }, 'time_limit_exceeded', null],
    [{ exitCode: 0, killedFor: 'wall_time' }, 'time_limit_exceeded', null],
    [{ exitCode: 137, killedFor: 'output', oomKilled: true }, 'output_limit_exceeded', null],
    [{ exitCode: 0, killedFor: 'output' }, 'output_limit_exceeded', null],
    [{ exitCode: 137, killedFor: 'canceled', oomKilled: true }, 'canceled', null],
    // The kernel's own limit, behind ours.
    [{ exitCode: 137, isCpuSpent: true }, 'time_limit_exceeded', null],
    [{ exitCode: 152, isCpuSpent: true }, 'time_limit_exceeded', null],
    [{ exitCode: 137, isCpuSpent: true, oomKilled: true }, 'memory_limit_exceeded', null],
    [{ exitCode: 0, isCpuSpent: true }, 'success', null],
    [{ exitCode: 1, isCpuSpent: true }, 'runtime_error', null],
  ])('%j is %s', (ending, status, signal) => {
    expect(verdictOf({ ...CLEAN, ...ending })).toEqual({ status, signal })
  })

  test('has one meaning for every code', () => {
    for (let exitCode = 0; exitCode < 256; exitCode += 1) {
      for (const oomKilled of [false, true]) {
        const { status, signal } = verdictOf({ ...CLEAN, exitCode, oomKilled })
        const isSignal = exitCode >= 129 && exitCode <= 159 && !(oomKilled && exitCode === 137)
        expect(status === 'signaled').toBe(isSignal)
        expect(signal !== null).toBe(isSignal)
        expect(status === 'memory_limit_exceeded').toBe(oomKilled && exitCode === 137)
        expect(status === 'success').toBe(exitCode === 0)
      }
    }
  })
})
