# {"status":"success","artifacts":["out/short"],"job":{"artifacts":["out/**"]}}
import os

os.makedirs("out/" + "y" * 200)
for name in ("x" * 255, "y" * 200 + "/" + "z" * 200, "short"):
    with open(f"out/{name}", "w") as file:
        file.write("x")
