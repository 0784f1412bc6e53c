# {"status":"success","stdout":"'own input' b'' b''\n","hides":["\"code\""],"job":{"stdin":"own input"}}
# The frame that brought the code is gone, by whatever way it is asked for.
import os, sys

first, second = sys.stdin.read(), os.read(0, 1000)
try:
    third = open("/proc/self/fd/0", "rb").read(1000)
except OSError:
    third = b""
print(repr(first), second, third)
