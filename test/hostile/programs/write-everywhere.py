# {"status":"success","stdout":"none\n","outside":"/etc"}
import os
from attempts import attempt, report, walk

OWN = ("/work", "/tmp", "/dev/shm", "/dev/mqueue", "/proc", "/sys")
for path in ["/", *walk("/", 30000)]:
    if path.startswith(OWN) or os.path.islink(path):
        continue
    if os.path.isdir(path):
        attempt(path, lambda: os.close(os.open(os.path.join(path, ".own"), os.O_CREAT | os.O_WRONLY)))
    elif os.path.isfile(path) and os.access(path, os.W_OK):
        attempt(path, lambda: os.open(path, os.O_WRONLY))
for path in ("/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/bin/sh", "/.dockerenv"):
    attempt(path, lambda: os.open(path, os.O_WRONLY | os.O_CREAT))
    attempt(f"{path} unlink", lambda: os.unlink(path))
    attempt(f"{path} chmod", lambda: os.chmod(path, 0o777))
report()
