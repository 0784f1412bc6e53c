# {"status":"signaled","exit":152,"signal":"SIGXCPU"}
# By itself: it has used next to nothing.
import os, signal

os.kill(os.getpid(), signal.SIGXCPU)
