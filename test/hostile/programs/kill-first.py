# {"status":"success","stdout":"alive\n"}
# Nobody in its own namespace can kill the first process, nor stop it.
import os, signal, time

os.kill(1, signal.SIGKILL)
os.kill(1, signal.SIGSTOP)
time.sleep(0.1)
print("alive")
