# {"status":"time_limit_exceeded","limit":"cpu","job":{"limits":{"cpu_time_ms":600}}}
import os

os.fork()
os.fork()
while True:
    pass
