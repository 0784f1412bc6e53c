# {"status":"success","stdout":"ENOSPC\n"}
# What has no name any more still takes room.
import errno, os

kept = []
try:
    while len(kept) < 60:
        kept.append(open("x", "wb", buffering=0))
        os.unlink("x")
        kept[-1].write(b"x" * 3_000_000)
        kept[-1].write(b"x")
except OSError as error:
    print(errno.errorcode[error.errno])
