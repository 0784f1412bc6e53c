# {"status":"success","stdout":"none\n","job":{"args":["$SOCKET"]}}
# They have no place in any file system, but belong to a network.
import socket, sys
from attempts import attempt, report

for name in ("opthub-neighbour", sys.argv[1]):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        attempt(f"{name} {kind}", lambda: socket.socket(socket.AF_UNIX, kind).connect("\0" + name), "ECONNREFUSED")
listed = open("/proc/net/unix").read().splitlines()[1:]
if listed:
    attempt("others", lambda: listed)
report()
