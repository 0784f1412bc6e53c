# {"status":"success","stdout":"main\n"}
import os, time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        os.chdir("/")
        while True:
            time.sleep(1000)
    os._exit(0)
print("main")
