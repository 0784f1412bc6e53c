# {"status":"success","keptBytes":65536}
import os

os.write(2, b"x" * 5536)
written = 0
while written < 60_000:
    written += os.write(1, b"x" * (60_000 - written))
