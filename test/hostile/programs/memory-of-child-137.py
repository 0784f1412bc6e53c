# {"status":"memory_limit_exceeded","exit":137,"oom":true}
# Nobody can tell it from its own; the documentation says so.
import os

if os.fork() == 0:
    block = b"x" * (1 << 30)
os.wait()
os._exit(137)
