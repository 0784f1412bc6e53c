# {"status":"file_error","exit":0,"artifacts":[],"job":{"artifacts":["out"]}}
import os

with open("out", "w") as file:
    file.write("x")
os.chmod(".", 0)
