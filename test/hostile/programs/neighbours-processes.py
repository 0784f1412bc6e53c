# {"status":"success","stdout":"none\n"}
# All that it sees is its own.
import os
from attempts import attempt, report

own = {1, os.getpid()}
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in own:
        attempt(name, lambda: open(f"/proc/{name}/cmdline").read())
for path in ("/proc/1/root", "/proc/1/cwd", "/proc/1/exe"):
    attempt(path, lambda: os.open(path, os.O_RDWR))
report()
