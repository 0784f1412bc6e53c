# {"status":"time_limit_exceeded","limit":"cpu","job":{"limits":{"cpu_time_ms":800}}}
# None of them lives long enough to use up its time by itself.
import os, time

while True:
    child = os.fork()
    if child == 0:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        os._exit(0)
    os.waitpid(child, 0)
