# {"status":"runtime_error","exit":3,"stdout":"full\n"}
import os, time

try:
    while True:
        if os.fork() == 0:
            time.sleep(1000)
except OSError:
    print("full", flush=True)
os._exit(3)
