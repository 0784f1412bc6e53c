# {"status":"success","stdout":"/work ENOSPC True\n/tmp ENOSPC True\n"}
import errno, os

for folder in ("/work", "/tmp"):
    written, number = 0, 0
    try:
        while written < 1 << 30:
            with open(f"{folder}/{number}", "wb", buffering=0) as file:
                number += 1
                for _ in range(30):
                    written += file.write(b"x" * 100_000)
    except OSError as error:
        print(folder, errno.errorcode[error.errno], written <= 8 << 20)
