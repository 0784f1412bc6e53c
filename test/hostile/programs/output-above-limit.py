# {"status":"output_limit_exceeded","keptBytes":65536}
import os, time

written = 0
while written < 65_537:
    written += os.write(1, b"x" * (65_537 - written))
time.sleep(1000)
