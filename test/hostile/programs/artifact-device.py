# {"status":"file_error","exit":0,"stdout":"EPERM\n","artifacts":[],"skipped":["out"],"job":{"artifacts":["out"]}}
import errno, os, stat

try:
    os.mknod("out", stat.S_IFCHR | 0o666, os.makedev(1, 5))
except OSError as error:
    print(errno.errorcode[error.errno])
