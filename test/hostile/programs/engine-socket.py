# {"status":"success","stdout":"none\n"}
import os, socket, stat
from attempts import attempt, report, walk

PLACES = ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"]
PLACES += [f"/proc/1/root{place}" for place in PLACES]
found = [path for top in ("/run", "/var", "/tmp", "/etc", "/dev", "/opt", "/root") for path in walk(top)]
PLACES += [path for path in found if stat.S_ISSOCK(os.lstat(path).st_mode)]
for place in PLACES:
    attempt(place, lambda: socket.socket(socket.AF_UNIX).connect(place), "ENOENT", "EACCES")
report()
