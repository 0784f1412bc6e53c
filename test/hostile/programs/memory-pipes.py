# {"status":["success","memory_limit_exceeded"]}
import fcntl, os

try:
    while True:
        end = os.pipe()[1]
        os.set_blocking(end, False)
        try:
            fcntl.fcntl(end, 1031, 1 << 20)
        except PermissionError:
            pass
        while True:
            try:
                os.write(end, b"x" * 65536)
            except BlockingIOError:
                break
except OSError as error:
    print(error)
