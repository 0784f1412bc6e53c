# {"status":"success","stdoutHex":"0200000000000004657272210a0100000000000000ffffffffffffffff","stderr":""}
# As the engine parts stdout from stderr.
import os

os.write(1, b"\2\0\0\0\0\0\0\4err!\n\1\0\0\0\0\0\0\0" + b"\xff" * 8)
