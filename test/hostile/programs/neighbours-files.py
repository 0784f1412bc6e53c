# {"status":"success","stdout":"none\n","arch":"x64"}
import os
from attempts import attempt, libc, report, syscall

for path in ("/tmp/neighbour", "/dev/shm/neighbour", "/work/neighbour"):
    attempt(path, lambda: open(path).read(), "ENOENT")
attempt("shared memory", lambda: syscall(29, 0x4E42, 4096, 0), "ENOENT")
attempt("messages", lambda: syscall(68, 0x4E42, 0), "ENOENT")
for number in range(64):
    attempt(f"shared memory {number}", lambda: syscall(30, number, 0, 0), "EINVAL", "EIDRM")
report()
