# {"status":"time_limit_exceeded","limit":"wall","job":{"limits":{"wall_time_ms":1000}}}
import signal

for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    signal.pause()
