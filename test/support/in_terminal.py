"""Runs a command in a terminal of its own: argv[1] is a JSON list of steps, the rest the command.

A step is {"type": text}, {"wait": text on the screen}, or {"wait": null} for the end of the terminal's echo. Prints JSON: what the terminal showed,
the exit code, and whether it was left as it was found.
"""
import fcntl, json, os, pty, select, sys, termios, time

steps, command = json.loads(sys.argv[1]), sys.argv[2:]
leader, follower = pty.openpty()
before = termios.tcgetattr(follower)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(follower, termios.TIOCSCTTY, 0)
    for descriptor in (0, 1, 2):
        os.dup2(follower, descriptor)
    os.execvp(command[0], command)

screen, end = b'', time.monotonic() + 60


def read(seconds):
    global screen
    if select.select([leader], [], [], seconds)[0]:
        screen += os.read(leader, 65536)


seen = 0
for step in steps:
    if 'type' in step:
        os.write(leader, step['type'].encode())
    elif step['wait'] is None:
        while termios.tcgetattr(follower)[3] & termios.ECHO and time.monotonic() < end:
            time.sleep(0.001)
    else:
        wanted = step['wait'].encode()
        while wanted not in screen[seen:] and time.monotonic() < end:
            read(0.1)
        seen = screen.find(wanted, seen) + len(wanted) if wanted in screen[seen:] else len(screen)

code = None
while code is None and time.monotonic() < end:
    read(0.05)
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        code = os.waitstatus_to_exitcode(status)
if code is None:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
read(0.05)
print(json.dumps({
    'screen': screen.decode(errors='replace').replace('\r\n', '\n'),
    'code': code,
    'restored': termios.tcgetattr(follower)[:4] == before[:4],
}))
