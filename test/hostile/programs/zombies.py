# {"status":"success","stdout":"bounded\n"}
import os

count = 0
try:
    while count < 1000:
        if os.fork() == 0:
            os._exit(0)
        count += 1
except OSError:
    pass
print("bounded" if 5 < count < 32 else count)
