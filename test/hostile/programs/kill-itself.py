# {"status":"signaled","exit":137,"signal":"SIGKILL","oom":false}
import os

os.kill(os.getpid(), 9)
