# {"status":"success","stdout":"main\n"}
# Whoever waits for the end of the output would wait for this one.
import os, time

if os.fork() == 0:
    os.setsid()
    time.sleep(1000)
print("main")
