# {"status":"file_error","exit":0,"artifacts":[],"skipped":["out"],"job":{"artifacts":["out"]}}
import os

os.mkdir("out")
