# {"status":"success","stdout":"200\n"}
# More than may be there at a time: somebody has to take in those whose parent has ended.
import os, time

made = 0
while made < 200:
    try:
        child = os.fork()
    except OSError:
        time.sleep(0.01)
        continue
    if child == 0:
        try:
            os.fork()
        except OSError:
            os._exit(1)
        os._exit(0)
    made += os.waitpid(child, 0)[1] == 0
print(made)
