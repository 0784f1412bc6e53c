import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requireEngine } from '../../support/engine.ts'
import { hasPython } from '../../support/images.ts'
import { buildWalled, FOLDER, type Walled } from './walled.ts'

const engine = await requireEngine()
const canRun =
  engine !== undefined && process.arch === 'x64' && process.platform === 'linux' && (await hasPython())

/** Calls of x86_64 by their numbers, with arguments that a kernel would not answer by EPERM at once. */
const REFUSED: Record<string, readonly number[]> = {
  io_uring_setup: [425, 1, 0],
  io_uring_enter: [426, 99, 0, 0, 0],
  io_uring_register: [427, 99, 0, 0, 0],
  ptrace: [101, 0, 0, 0, 0],
  process_vm_readv: [310, 1, 0, 0, 0, 0, 0],
  process_vm_writev: [311, 1, 0, 0, 0, 0, 0],
  process_madvise: [440, 99, 0, 0, 0, 0],
  kcmp: [312, 1, 1, 0, 0, 0],
  pidfd_getfd: [438, 99, 0, 0],
  keyctl: [250, 0, -1, 0, 0, 0],
  add_key: [248, 0, 0, 0, 0, 0],
  request_key: [249, 0, 0, 0, 0],
  userfaultfd: [323, 1],
  bpf: [321, 0, 0, 0],
  perf_event_open: [298, 0, 0, -1, -1, 0],
  unshare: [272, 0x10000000],
  setns: [308, 99, 0],
  mount: [165, 0, 0, 0, 0, 0],
  umount2: [166, 0, 0],
  pivot_root: [155, 0, 0],
  chroot: [161, 0],
  open_tree: [428, -100, 0, 0],
  move_mount: [429, 99, 0, 99, 0, 0],
  fsopen: [430, 0, 0],
  fsconfig: [431, 99, 0, 0, 0, 0],
  fsmount: [432, 99, 0, 0],
  fspick: [433, -100, 0, 0],
  mount_setattr: [442, -100, 0, 0, 0, 0],
  name_to_handle_at: [303, -100, 0, 0, 0, 0],
  open_by_handle_at: [304, 99, 0, 0],
  reboot: [169, 0, 0, 0, 0],
  swapon: [167, 0, 0],
  swapoff: [168, 0],
  kexec_load: [246, 0, 0, 0, 0],
  kexec_file_load: [320, 99, 99, 0, 0, 0],
  init_module: [175, 0, 0, 0],
  finit_module: [313, 99, 0, 0],
  delete_module: [176, 0, 0],
  create_module: [174, 0, 0],
  quotactl: [179, 0, 0, 0, 0],
  quotactl_fd: [443, 99, 0, 0, 0],
  acct: [163, 0],
  settimeofday: [164, 0, 0],
  clock_settime: [227, 0, 0],
  syslog: [103, 10, 0, 0],
  lookup_dcookie: [212, 0, 0, 0],
  iopl: [172, 0],
  ioperm: [173, 0, 0, 0],
  modify_ldt: [154, 0, 0, 0],
  fanotify_init: [300, 0, 0],
  fanotify_mark: [301, 99, 0, 0, 0, 0],
  mbind: [237, 0, 0, 0, 0, 0, 0],
  set_mempolicy: [238, 0, 0, 0],
  get_mempolicy: [239, 0, 0, 0, 0, 0],
  move_pages: [279, 0, 0, 0, 0, 0, 0],
  migrate_pages: [256, 0, 0, 0, 0],
  vhangup: [153],
  nfsservctl: [180, 0, 0, 0],
  sysfs: [139, 1, 0, 0],
  ustat: [136, 0, 0],
  uselib: [134, 0],
  sethostname: [170, 0, 0],
  setdomainname: [171, 0, 0],
  'personality: 32-bit': [135, 8],
  'personality: old version number': [135, 0x20000],
  'personality: same addresses': [135, 0x40000],
  'clone: user namespace': [56, 0x10000000, 0, 0, 0, 0],
  'clone: mount namespace': [56, 0x00020000, 0, 0, 0, 0],
  'clone: pid namespace': [56, 0x20000000, 0, 0, 0, 0],
  'clone: network namespace': [56, 0x40000000, 0, 0, 0, 0],
  'clone: IPC namespace': [56, 0x08000000, 0, 0, 0, 0],
  'clone: UTS namespace': [56, 0x04000000, 0, 0, 0, 0],
  'clone: control group namespace': [56, 0x02000000, 0, 0, 0, 0],
  'socketpair: TIPC': [53, 30, 1, 0, 0],
}

/** Families that have no business here, by number (see socket(2)), and what a program may have. */
const FAMILIES = {
  closed: [3, 4, 5, 9, 15, 17, 21, 29, 30, 31, 37, 38, 39, 40, 41, 42, 43, 44, 0, 99],
  open: [1, 2, 10, 16],
}

const CALL = `
import ctypes, errno, json, os, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
  ctypes.set_errno(0)
  result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(each) for each in arguments])
  return 'allowed' if result != -1 else errno.errorcode[ctypes.get_errno()]
`

describe.skipIf(!canRun)('the system calls within walls', () => {
  let walled: Walled

  beforeAll(async () => {
    if (engine !== undefined) walled = await buildWalled(engine)
  })
  afterAll(() => walled.executor.close())

  it('are refused when they could lead outside', async () => {
    const answers = await walled.ask(`${CALL}
calls = json.loads('''${JSON.stringify(REFUSED)}''')
print(json.dumps({name: call(*each) for name, each in calls.items()}))`)
    // What was refused by the kernel, and not by the profile, would answer otherwise: the engine's default shows which.
    expect(answers).toEqual(Object.fromEntries(Object.keys(REFUSED).map((name) => [name, 'EPERM'])))
  })

  it('would not be refused without the profile', async () => {
    const names =
      /^(io_uring|ptrace|process_vm|keyctl|request_key|name_to|modify_ldt|fanotify_mark|personality|socketpair|get_mem|kcmp|pidfd)/
    const stricter = Object.entries(REFUSED).filter(([name]) => names.test(name))
    const spec = walled.spec()
    const answers = (await walled.ask(
      `${CALL}
calls = json.loads('''${JSON.stringify(Object.fromEntries(stricter))}''')
print(json.dumps({name: call(*each) for name, each in calls.items()}))`,
      { walls: { workdir: FOLDER, ...spec.walls, seccomp: 'unconfined' } },
    )) as Record<string, string>
    expect(Object.keys(answers)).toHaveLength(stricter.length)
    expect(Object.entries(answers).filter(([, answer]) => answer === 'EPERM')).toEqual([])
  })

  it('open sockets of four families', async () => {
    const answers = (await walled.ask(`${CALL}
families = json.loads('${JSON.stringify(FAMILIES)}')
kinds = [1, 2, 3, 5]
out = {name: {family: sorted({call(41, family, kind, 0) for kind in kinds}) for family in each} for name, each in families.items()}
out['high'] = call(41, (1 << 32) | 38, 5, 0)
print(json.dumps(out))`)) as {
      closed: Record<string, string[]>
      open: Record<string, string[]>
      high: string
    }
    expect(new Set(Object.values(answers.closed).flat())).toEqual(new Set(['EPERM']))
    for (const each of Object.values(answers.open)) expect(each).toContain('allowed')
    expect(answers.high).toBe('EPERM')
  })

  it('say that clone3 is not there, so that the C library goes on without', async () => {
    expect(
      await walled.ask(`${CALL}
import threading
thread = threading.Thread(target=lambda: None)
thread.start(); thread.join()
print(json.dumps([call(435, 0, 0), os.fork() >= 0]))`),
    ).toEqual(['ENOSYS', true])
  })

  it('end a program that makes those of 32 bits or of x32', async () => {
    // mov eax, 20 (getpid of 32 bits); int 0x80; ret - and mov eax, 0x40000027 (getpid of x32); syscall; ret
    const answers = await walled.ask(`${CALL}
import mmap
def native(code):
  child = os.fork()
  if child == 0:
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(bytes.fromhex(code))
    at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    os._exit(0 if ctypes.CFUNCTYPE(ctypes.c_int)(at)() > 0 else 1)
  status = os.waitpid(child, 0)[1]
  return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
print(json.dumps([native('b814000000cd80c3'), native('b8270000400f05c3'), native('b8270000000f05c3')]))`)
    expect(answers).toEqual(['SIGSYS', 'SIGSYS', 0])
  })

  it('are there for what ordinary programs do', async () => {
    const seen = await walled.ask(`${CALL}
import concurrent.futures, mmap, multiprocessing, os, select, socket, subprocess, tempfile, threading, time
with concurrent.futures.ThreadPoolExecutor(4) as pool: squares = list(pool.map(lambda n: n * n, range(5)))
with multiprocessing.Pool(2) as pool: cubes = pool.map(abs, [-1, -2])
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.sendall(b'x')
left, right = socket.socketpair()
with tempfile.TemporaryFile() as file:
  file.write(b'12345678'); file.flush()
  mapped = mmap.mmap(file.fileno(), 8)[:3].decode()
os.mkfifo('fifo'); os.symlink('fifo', 'link'); os.link('fifo', 'hard'); os.rename('hard', 'soft'); os.chmod('soft', 0o600)
shown = subprocess.run(['/usr/bin/python3', '-c', 'print(2)'], capture_output=True, text=True).stdout.strip()
time.sleep(0.001)
print(json.dumps([squares, cubes, peer.recv(1).decode(), mapped, shown, sorted(os.listdir('.')), os.sched_getaffinity(0) != set(), os.getrandom(1) != b'', call(135, 0xffffffff)]))`)
    expect(seen).toEqual([
      [0, 1, 4, 9, 16],
      [1, 2],
      'x',
      '123',
      '2',
      ['fifo', 'link', 'soft'],
      true,
      true,
      'allowed',
    ])
  })
})
