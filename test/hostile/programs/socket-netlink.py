# {"status":"success","stdout":"none\n"}
# It may look at its network, but not change it.
import socket, struct
from attempts import attempt, report

IFLA_IFNAME, RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE = 3, 16, 20, 24


def ask(kind, payload, flags=0x605):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.settimeout(2)
        link.send(struct.pack("=IHHII", 16 + len(payload), kind, flags, 1, 0) + payload)
        answer = link.recv(4096)
    code = struct.unpack("=i", answer[16:20])[0]
    if code != 0:
        raise OSError(-code, "refused")


attempt("link", lambda: ask(RTM_NEWLINK, struct.pack("=BxHiII", 0, 0, 1, 1, 1)), "EPERM")
attempt("address", lambda: ask(RTM_NEWADDR, struct.pack("=BBBBI", 2, 24, 0, 0, 1) + struct.pack("=HHI", 8, 2, 0x0A0A0A0A)), "EPERM")
attempt("route", lambda: ask(RTM_NEWROUTE, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0)), "EPERM")
report()
