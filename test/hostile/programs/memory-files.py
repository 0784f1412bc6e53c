# {"status":"memory_limit_exceeded","oom":true,"job":{"limits":{"disk_bytes":67108864,"memory_bytes":33554432}}}
# A file system in memory is memory.
import itertools

for number in itertools.count():
    with open(f"/tmp/{number}", "wb") as file:
        file.write(b"x" * 4_000_000)
