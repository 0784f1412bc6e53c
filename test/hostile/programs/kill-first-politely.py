# {"status":"signaled","signal":"SIGTERM","hides":["alive"]}
# It hands on what it is sent.
import os, signal, time

os.kill(1, signal.SIGTERM)
time.sleep(10)
print("alive")
