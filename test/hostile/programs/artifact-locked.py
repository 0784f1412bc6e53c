# {"status":"file_error","exit":0,"artifacts":[],"skipped":["out"],"job":{"artifacts":["out"]}}
# Its owner may read it no more, and nobody else ever could.
import os

with open("out", "w") as file:
    file.write("x")
os.chmod("out", 0)
