# {"status":"signaled","exit":137,"signal":"SIGKILL","oom":false}
import os

os._exit(137)
