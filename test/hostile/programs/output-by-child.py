# {"status":"output_limit_exceeded","keptBytes":65536}
import os, time

if os.fork() == 0:
    os.setsid()
    while True:
        os.write(1, b"x" * 4096)
time.sleep(1000)
