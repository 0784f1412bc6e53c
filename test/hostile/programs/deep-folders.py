# {"status":"success","mostArtifacts":64,"job":{"artifacts":["**"]}}
import os

try:
    for number in range(1000):
        os.mkdir("x" * 200)
        os.chdir("x" * 200)
        with open("file", "w") as file:
            file.write("deep")
except OSError as error:
    print(error)
