# {"status":"success","stdout":"EMFILE True\n"}
import errno, os

count = 0
try:
    while count < 10_000:
        os.dup(0)
        count += 1
except OSError as error:
    print(errno.errorcode[error.errno], count < 64)
