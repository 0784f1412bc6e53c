# {"status":"success","hides":["forged\n"],"mostArtifacts":64,"job":{"artifacts":["out/**"]}}
# Whatever becomes of such names, no reader is to be misled by them.
import os

os.mkdir("out")
for name in (b"line\nbreak", b"\x1b[2J", b"\xff\xfe", b"tab\t", b"\r", b"\xe2\x80\xae"):
    with open(b"out/" + name, "w") as file:
        file.write("x")
