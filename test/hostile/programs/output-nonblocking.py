# {"status":"output_limit_exceeded","keptBytes":65536}
import os

os.set_blocking(1, False)
while True:
    try:
        os.write(1, b"x" * 65536)
    except BlockingIOError:
        pass
