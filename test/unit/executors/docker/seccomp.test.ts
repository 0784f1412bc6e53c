import { describe, expect, it } from 'vitest'
import { ALLOWED_CALLS } from '../../../../src/executors/docker/walls/seccomp-calls.ts'
import { SECCOMP_PROFILE } from '../../../../src/executors/docker/walls/seccomp.ts'

interface Profile {
  defaultAction: string
  archMap: { architecture: string; subArchitectures: string[] }[]
  syscalls: { names: string[]; action: string; args?: { index: number; value: number; op: string }[] }[]
}

describe('the seccomp profile', () => {
  const profile = JSON.parse(SECCOMP_PROFILE) as Profile
  const names = Object.values(ALLOWED_CALLS).flatMap((text) => text.trim().split(/\s+/))

  it('refuses what it does not name, and knows native programs alone', () => {
    expect(profile.defaultAction).toBe('SCMP_ACT_ERRNO')
    expect(profile.archMap.flatMap(({ subArchitectures }) => subArchitectures)).toEqual([])
  })

  it('names each call once, and only by its own name', () => {
    expect(new Set(names).size).toBe(names.length)
    expect(names.filter((name) => !/^[a-z][a-z0-9_]+$/.test(name))).toEqual([])
    // Those that have rules for their arguments must not be allowed besides.
    const bound = profile.syscalls.filter(({ args }) => args !== undefined).flatMap((rule) => rule.names)
    expect(bound.filter((name) => names.includes(name))).toEqual([])
  })

  it('names none that leads outside', () => {
    const outside =
      /^(io_uring|ptrace|process_vm|keyctl|add_key|request_key|userfaultfd|bpf|perf_|unshare|setns|mount|umount|pivot|chroot|fs(open|mount|pick|config)|open_tree|move_mount|reboot|swapo|kexec|(init|finit|delete|create)_module|(name_to|open_by)_handle|quotactl|acct|settimeofday|clock_settime|syslog|lookup_dcookie|vm86|iopl|ioperm|modify_ldt|socketcall|ipc$|clone)/
    expect(names.filter((name) => outside.test(name))).toEqual([])
  })
})
