# {"status":"success","stdout":"ENOSPC\n"}
import errno, itertools

try:
    for number in itertools.count():
        with open(f"/dev/shm/{number}", "wb") as file:
            file.write(b"x" * 4_000_000)
except OSError as error:
    print(errno.errorcode[error.errno])
