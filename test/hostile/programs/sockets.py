# {"status":"success","stdout":"none\n","outside":"17 2"}
# Four families are enough; packets, raw addresses and ping are for those who may.
import socket
from attempts import attempt, report

ALLOWED = {1, 2, 10, 16}
for family in set(range(0, 64)) - ALLOWED:
    for kind in (1, 2, 3, 4, 5, 6, 10):
        attempt(f"{family} {kind}", lambda: socket.socket(family, kind).fileno(), "EPERM", "EAFNOSUPPORT")
for family in (2, 10):
    for protocol in (1, 6, 17, 58, 255):
        attempt(f"raw {family} {protocol}", lambda: socket.socket(family, 3, protocol).fileno(), "EPERM")
for family in set(range(0, 64)) - {1}:
    attempt(f"pair {family}", lambda: socket.socketpair(family, 1), "EPERM")
report()
