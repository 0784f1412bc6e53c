# {"status":"success","stdout":"none\n","outside":"eth"}
import fcntl, os, socket, struct
from attempts import attempt, report

names = [name for _, name in socket.if_nameindex()]
if names != ["lo"]:
    attempt("interfaces", lambda: names)
stream = socket.socket()
request = struct.pack("16sH22x", b"lo", 1)
for name, number in (("up", 0x8914), ("address", 0x8916), ("bridge", 0x89A0), ("name", 0x8923)):
    attempt(name, lambda: fcntl.ioctl(stream, number, request), "EPERM", "ENOPKG", "ENOTTY")
attempt("device", lambda: stream.setsockopt(socket.SOL_SOCKET, 36, 5), "EPERM")
attempt("tun", lambda: os.open("/dev/net/tun", os.O_RDWR), "ENOENT", "EPERM", "EACCES")
report()
