# {"status":"output_limit_exceeded","keptBytes":65536}
import os

for _ in range(4):
    os.fork()
while True:
    os.write(1 + os.getpid() % 2, b"xyz\n" * 100)
