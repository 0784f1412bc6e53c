# {"status":"success","artifacts":["out/  ","out/$(id)","out/--checkpoint-action=exec=sh x","out/-rf","out/C:\\x","out/\\..\\..\\x","out/\u00e9"],"job":{"artifacts":["out/?*"]}}
import os

os.mkdir("out")
for name in ("-rf", "--checkpoint-action=exec=sh x", "$(id)", "\\..\\..\\x", "C:\\x", "é", "  "):
    with open(f"out/{name}", "w") as file:
        file.write(name)
