# {"status":"signaled","exit":139,"signal":"SIGSEGV"}
import os

os._exit(139)
