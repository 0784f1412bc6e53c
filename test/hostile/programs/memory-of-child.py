# {"status":"runtime_error","exit":7,"oom":true,"stdout":"9\n"}
import os, sys

if os.fork() == 0:
    block = b"x" * (1 << 30)
    os._exit(0)
print(os.wait()[1])
sys.exit(7)
