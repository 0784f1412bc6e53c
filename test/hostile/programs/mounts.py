# {"status":"success","stdout":"none\n","outside":"chroot","arch":"x64"}
import ctypes, os
from attempts import attempt, report, syscall

MOUNT, UMOUNT, PIVOT, CHROOT = 165, 166, 155, 161
os.makedirs("/tmp/m", exist_ok=True)
for kind in (b"tmpfs", b"proc", b"sysfs", b"cgroup", b"cgroup2", b"overlay", b"fuse", b"devtmpfs", b"bpf", b"debugfs"):
    attempt(f"mount {kind}", lambda: syscall(MOUNT, b"none", b"/tmp/m", kind, 0, b""), "EPERM")
attempt("bind", lambda: syscall(MOUNT, b"/", b"/tmp/m", b"", 4096, b""), "EPERM")
attempt("remount", lambda: syscall(MOUNT, b"", b"/", b"", 32 | 4096, b""), "EPERM")
attempt("shared", lambda: syscall(MOUNT, b"", b"/", b"", 1 << 20, b""), "EPERM")
for path in (b"/proc", b"/work", b"/tmp", b"/sys", b"/proc/kcore", b"/dev"):
    attempt(f"umount {path}", lambda: syscall(UMOUNT, path, 2), "EPERM")
attempt("pivot_root", lambda: syscall(PIVOT, b"/tmp", b"/tmp/m"), "EPERM")
attempt("chroot", lambda: syscall(CHROOT, b"/tmp"), "EPERM")
attempt("fsopen", lambda: syscall(430, b"tmpfs", 0), "EPERM")
attempt("open_tree", lambda: syscall(428, -100, b"/", 1), "EPERM")
attempt("move_mount", lambda: syscall(429, -100, b"/tmp", -100, b"/tmp/m", 0), "EPERM")
attempt("mount_setattr", lambda: syscall(442, -100, b"/", 0, b"\0" * 32, 32), "EPERM")
report()
