# {"status":"success","stdout":"none\n"}
# Whoever starts a container has its program open for a moment.
import os
from attempts import attempt, report

for pid in ("self", "1"):
    attempt(f"{pid} exe", lambda: os.open(f"/proc/{pid}/exe", os.O_WRONLY))
    attempt(f"{pid} truncate", lambda: os.truncate(f"/proc/{pid}/exe", 0))
    for fd in os.listdir(f"/proc/{pid}/fd") if pid == "self" else ():
        path = f"/proc/{pid}/fd/{fd}"
        if int(fd) > 2 and os.path.exists(path) and not os.readlink(path).startswith("/proc"):
            attempt(path, lambda: os.readlink(path))
report()
