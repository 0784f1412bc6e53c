# {"status":"success","artifacts":["out/own"],"job":{"artifacts":["out/**"]}}
# A character device of 0, 0 hides a file in an image; anybody may make one.
import os, stat

os.mkdir("out")
try:
    os.mknod("out/hidden", stat.S_IFCHR, os.makedev(0, 0))
except OSError:
    pass
for name in ("out/.wh..wh..opq", "out/own"):
    with open(name, "w") as file:
        file.write("own")
os.unlink("out/.wh..wh..opq")
