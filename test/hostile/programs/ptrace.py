# {"status":"success","stdout":"none\n","arch":"x64"}
# Not even its own children.
import os, time
from attempts import attempt, report, syscall

child = os.fork()
if child == 0:
    time.sleep(100)
for name, request in (("attach", 16), ("seize", 0x4206)):
    for pid in (1, child):
        attempt(f"{name} {pid}", lambda: syscall(101, request, pid, 0, 0), "EPERM")
attempt("traceme", lambda: syscall(101, 0, 0, 0, 0), "EPERM")
for pid in (1, child):
    attempt(f"readv {pid}", lambda: syscall(310, pid, 0, 0, 0, 0, 0), "EPERM")
    attempt(f"writev {pid}", lambda: syscall(311, pid, 0, 0, 0, 0, 0), "EPERM")
os.kill(child, 9)
report()
