# {"status":"signaled","signal":"SIGSYS","exit":159,"hides":["alive"],"arch":"x64"}
import ctypes

libc = ctypes.CDLL(None)
libc.syscall(ctypes.c_long(0x40000000 + 39))
print("alive")
