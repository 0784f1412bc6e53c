# {"status":"success","stdout":"none\n"}
import resource
from attempts import attempt, libc, report
import ctypes, os


def lock(flags):
    if libc.mlockall(flags) != 0:
        raise OSError(ctypes.get_errno(), "mlockall")


def raised():
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 40, 1 << 40))


soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
attempt("raise", raised)
if hard != -1:
    block = bytearray(max(0, hard) + (1 << 20))
    attempt("lock", lambda: lock(1))
report()
