# {"status":"success","stdout":"/work ENOSPC True\n/tmp ENOSPC True\n"}
import errno, os

for folder in ("/work", "/tmp"):
    count = 0
    try:
        while count < 100_000:
            os.mkdir(f"{folder}/{count}")
            count += 1
    except OSError as error:
        print(folder, errno.errorcode[error.errno], count <= 2048)
