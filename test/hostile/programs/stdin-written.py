# {"status":"success","stdout":"done\n","stderr":"","job":{"stdin":"own"}}
# It is its own input and nobody else's: what is put in there must not come out anywhere.
import os

for work in (
    lambda: os.write(0, b"forged"),
    lambda: os.write(os.open("/proc/self/fd/0", os.O_WRONLY | os.O_NONBLOCK), b"forged"),
):
    try:
        work()
    except OSError:
        pass
print("done")
