# {"status":"signaled","signal":"SIGSYS","exit":159,"hides":["alive"],"arch":"x64"}
# socketcall of 32 bits hands over its arguments in memory, which no filter sees.
import ctypes, mmap

memory = mmap.mmap(-1, 4096, prot=7)
memory.write(bytes.fromhex("b814000000cd80c3"))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
print("alive")
