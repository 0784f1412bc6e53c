# {"status":"signaled","exit":139,"signal":"SIGSEGV"}
import ctypes

ctypes.string_at(8)
