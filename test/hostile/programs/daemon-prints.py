# {"status":"runtime_error","exit":5,"prints":["main"]}
import os, sys, time

if os.fork() == 0:
    os.setsid()
    while True:
        os.write(1, b"x")
        time.sleep(0.01)
print("main")
sys.stdout.flush()
os._exit(5)
