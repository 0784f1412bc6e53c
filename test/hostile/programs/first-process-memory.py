# {"status":["success","signaled","runtime_error"],"hides":["alive"],"arch":"x64"}
# The first process is the same user's, so that its memory may be written; what comes of that is its own end.
import os, time

try:
    with open("/proc/1/maps") as maps, open("/proc/1/mem", "r+b", buffering=0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if "x" in rights and "[" not in line:
                start, end = (int(each, 16) for each in span.split("-"))
                memory.seek(start)
                memory.write(b"\xcc" * (end - start))
except OSError as error:
    print(error)
    raise SystemExit
if os.fork() == 0:
    os._exit(0)
time.sleep(100)
print("alive")
