# {"status":"time_limit_exceeded","limit":"wall","job":{"limits":{"wall_time_ms":1000}}}
# A child in a session of its own keeps all others stopped.
import os, signal, time

if os.fork() == 0:
    os.setsid()
    while True:
        os.kill(-1, signal.SIGSTOP)
        time.sleep(0.01)
time.sleep(1000)
