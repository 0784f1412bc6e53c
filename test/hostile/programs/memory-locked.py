# {"status":"success","stdout":"none\n"}
import ctypes, os, resource
from attempts import attempt, libc, report


def lock():
    if libc.mlockall(1) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
# Where the engine sets no bound of its own it is that of all memory.
if 0 <= hard < 32 << 20:
    attempt("raise", lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard + 1, hard + 1)))
    block = bytearray(hard + (1 << 20))
    attempt("lock", lock, "ENOMEM", "EPERM")
report()
