# {"status":"success","stdout":"none\n","outside":"/tmp 1 5"}
import os, stat
from attempts import attempt, report, walk

HARMLESS = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}
for path in walk("/dev"):
    mode = os.lstat(path).st_mode
    name = os.path.basename(path)
    if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and not (name in HARMLESS or path.startswith("/dev/pts/")):
        attempt(path, lambda: path)
for major, minor in ((1, 1), (1, 5), (1, 11), (8, 0), (254, 0), (7, 0), (10, 237), (10, 229), (10, 232), (5, 1)):
    for kind in (stat.S_IFCHR, stat.S_IFBLK):
        for folder in ("/work", "/tmp", "/dev/shm", "/dev/mqueue"):
            attempt(f"{folder} {major} {minor}", lambda: os.mknod(f"{folder}/device", kind | 0o666, os.makedev(major, minor)), "EPERM", "EACCES")
attempt("terminal", lambda: os.open("/dev/tty", os.O_RDWR), "ENXIO")
report()
