# {"status":"success","stdout":"none\n","arch":"x64"}
import os
from attempts import attempt, report, syscall, write_to

FLAGS = {"mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000, "time": 0x80}
UNSHARE, SETNS, CLONE, CLONE3 = 272, 308, 56, 435


def clone(flags):
    child = syscall(CLONE, flags | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return child


for name, flag in FLAGS.items():
    attempt(f"unshare {name}", lambda: syscall(UNSHARE, flag), "EPERM")
    if name != "time":
        attempt(f"clone {name}", lambda: clone(flag), "EPERM")
        attempt(f"clone user and {name}", lambda: clone(flag | FLAGS["user"]), "EPERM")
    for pid in ("1", "self"):
        attempt(f"setns {pid} {name}", lambda: syscall(SETNS, os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY), 0))
attempt("clone3", lambda: syscall(CLONE3, 0, 0), "ENOSYS")
attempt("setns pidfd", lambda: syscall(SETNS, os.pidfd_open(os.getpid()), FLAGS["net"]), "EPERM")
for name in ("uid_map", "gid_map", "setgroups"):
    attempt(name, lambda: write_to(f"/proc/self/{name}", b"0 0 1\n"))
report()
