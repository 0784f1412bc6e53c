# {"status":"runtime_error","exit":127}
import os, sys

sys.stderr.write("[FATAL tini (7)] exec python3 failed: No such file or directory\n")
sys.stderr.flush()
os._exit(127)
