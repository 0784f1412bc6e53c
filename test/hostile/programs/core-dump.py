# {"status":"success","stdout":"[]\n"}
import ctypes, os, resource

try:
    resource.setrlimit(resource.RLIMIT_CORE, (-1, -1))
except (OSError, ValueError):
    pass
if os.fork() == 0:
    ctypes.string_at(8)
os.wait()
print([name for name in os.listdir(".") if name not in ("main.py", "attempts.py")])
