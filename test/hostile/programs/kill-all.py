# {"status":["runtime_error","signaled"],"hides":["alive"]}
# The first process of a container stays, and with it the end that is told.
import os, signal, time

if os.fork() == 0:
    os.setsid()
    os.kill(-1, signal.SIGKILL)
    os._exit(0)
time.sleep(100)
print("alive")
