# {"status":"file_error","exit":0,"artifacts":[],"skipped":["out"],"hides":["root:"],"job":{"artifacts":["out"]}}
import os

os.symlink("/etc/passwd", "out")
