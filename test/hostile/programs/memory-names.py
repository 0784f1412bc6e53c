# {"status":["success","memory_limit_exceeded"]}
# Attributes of files are no files, and take no room in a file system that is in memory.
import os

try:
    for number in range(100_000):
        os.setxattr("main.py", f"user.{number}", b"x" * 65536)
except OSError as error:
    print(error)
