# {"status":"signaled","exit":159,"signal":"SIGSYS"}
import os

os._exit(159)
