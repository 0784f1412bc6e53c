# {"status":"success","stdout":"none\n","outside":"setuid","arch":"x64"}
import os, shutil, stat, subprocess
from attempts import attempt, libc, report, syscall, walk

for path in walk("/", 30000):
    try:
        status = os.lstat(path)
    except OSError:
        continue
    if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        attempt(path, lambda: path)
os.chmod("main.py", 0o6777)
attempt("setuid", lambda: os.setuid(0), "EPERM")
attempt("setresuid", lambda: os.setresuid(0, 0, 0), "EPERM")
attempt("setgid", lambda: os.setgid(0), "EPERM")
attempt("setgroups", lambda: os.setgroups([0]), "EPERM")
attempt("other", lambda: os.setuid(1000), "EPERM")
attempt("chown", lambda: os.chown("main.py", 0, 0), "EPERM")
attempt("capability", lambda: os.setxattr("main.py", "security.capability", b"\1\0\0\2" + b"\xff" * 16), "EPERM", "ENOTSUP")
attempt("new privileges", lambda: syscall(157, 38, 0, 0, 0, 0), "EINVAL")
attempt("ambient", lambda: syscall(157, 47, 2, 21, 0, 0), "EPERM")
groups = set(os.getgroups()) - {65534}
if groups or os.getresuid() != (65534,) * 3 or os.getresgid() != (65534,) * 3:
    attempt("identity", lambda: (groups, os.getresuid(), os.getresgid()))
capabilities = [line for line in open("/proc/self/status") if line.startswith("Cap") and int(line.split()[1], 16)]
if capabilities:
    attempt("capabilities", lambda: capabilities)
report()
