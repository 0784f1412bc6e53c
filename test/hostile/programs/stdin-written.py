# {"status":"success","stdout":"none\n","job":{"stdin":"own"}}
# Nobody is to read it, least of all the runner.
import os
from attempts import attempt, report

attempt("write", lambda: os.write(0, b"forged"), "EBADF")
attempt("reopen", lambda: os.write(os.open("/proc/self/fd/0", os.O_WRONLY | os.O_NONBLOCK), b"x"), "EACCES", "ENXIO")
report()
