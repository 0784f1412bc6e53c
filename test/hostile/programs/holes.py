# {"status":"success","stdout":"ENOSPC\n","job":{"artifacts":["out/**"]}}
# Files that are large and take no room.
import errno, os

os.mkdir("out")
try:
    for number in range(10_000):
        with open(f"out/{number}", "wb") as file:
            file.truncate(4_000_000)
except OSError as error:
    print(errno.errorcode[error.errno])
