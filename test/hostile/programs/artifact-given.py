# {"status":"success","artifacts":["given"],"job":{"artifacts":["given"],"files":[{"path":"given","content":"given"}]}}
import os

os.unlink("given")
with open("given", "w") as file:
    file.write("changed")
