# {"status":"success","stdout":"none\n"}
# To put words into somebody else's terminal.
import fcntl, termios
from attempts import attempt, report

for fd in (0, 1, 2):
    attempt(f"TIOCSTI {fd}", lambda: fcntl.ioctl(fd, termios.TIOCSTI, b"x"), "ENOTTY", "EIO", "EPERM")
    attempt(f"TIOCLINUX {fd}", lambda: fcntl.ioctl(fd, 0x541C, b"\3"), "ENOTTY", "EPERM")
report()
