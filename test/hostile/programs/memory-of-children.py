# {"status":"success","oom":true,"stdout":"done\n"}
import os

for _ in range(6):
    if os.fork() == 0:
        block = b"x" * (40 << 20)
        while True:
            os.read(os.pipe()[0], 1)
for _ in range(3):
    os.wait()
print("done")
