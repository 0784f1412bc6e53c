# {"status":"success","stdout":"none\n","job":{"args":["$FOLDER"]}}
import os, sys
from attempts import attempt, report

folder = sys.argv[1]
for top in ("", "/proc/1/root", "/proc/self/root", "/host", "/mnt", "/rootfs"):
    attempt(f"{top} read", lambda: open(f"{top}{folder}/sentinel").read())
    attempt(f"{top} write", lambda: open(f"{top}{folder}/empty/owned", "w").write("x"))
up = "/work" + "/.." * 40
attempt("up", lambda: open(f"{up}{folder}/sentinel").read())
os.mkdir("a")
os.chdir("a")
inside = os.open("..", os.O_RDONLY)
os.rmdir("/work/a")
attempt("from nowhere", lambda: open(os.path.join("..", ".." * 1, folder.lstrip("/"), "sentinel")).read())
for text in open("/etc/shadow").read().splitlines() if os.access("/etc/shadow", os.R_OK) else ():
    attempt("shadow", lambda: text)
report()
