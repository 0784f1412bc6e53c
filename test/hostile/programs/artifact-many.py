# {"status":"file_error","mostArtifacts":64,"skipped":["last"],"job":{"artifacts":["out/**","last"]}}
import os

os.mkdir("out")
for number in range(500):
    with open(f"out/{number}", "w") as file:
        file.write(str(number))
