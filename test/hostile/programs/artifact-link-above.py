# {"status":"success","artifacts":["out/own"],"job":{"artifacts":["out/**"]}}
import os

os.mkdir("out")
os.symlink("../../../../../..", "out/up")
os.symlink("/proc/1/root", "out/root")
os.symlink("/proc/self/fd/0", "out/input")
os.symlink("loop", "out/loop")
with open("out/own", "w") as file:
    file.write("own")
