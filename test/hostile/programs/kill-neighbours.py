# {"status":"success","stdout":"none\n"}
import os, signal
from attempts import attempt, report

own = {int(name) for name in os.listdir("/proc") if name.isdigit()}
for pid in range(2, 70000):
    if pid not in own:
        attempt(str(pid), lambda: os.kill(pid, signal.SIGKILL), "ESRCH")
report()
