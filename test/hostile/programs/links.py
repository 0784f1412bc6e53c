# {"status":["success","file_error"],"mostArtifacts":64,"job":{"artifacts":["out/**"]}}
# One large file by a thousand names.
import os

os.mkdir("out")
with open("out/0", "wb") as file:
    file.write(b"x" * 4_000_000)
try:
    for number in range(1, 1000):
        os.link("out/0", f"out/{number}")
except OSError as error:
    print(error)
