# {"status":"success","stdout":"none\n","arch":"x64"}
import ctypes, socket, struct, time
from attempts import attempt, report, syscall

# The time that it is: should it get through, nobody's clock is to suffer.
attempt("clock_settime", lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()), "EPERM")
attempt("settimeofday", lambda: syscall(164, struct.pack("qq", int(time.time()), 0), 0), "EPERM")
# A tick of the length that it has.
buffer = ctypes.create_string_buffer(struct.pack("I", 0x4000) + b"\0" * 84 + struct.pack("q", 10000) + b"\0" * 112)
attempt("adjtimex", lambda: syscall(159, buffer), "EPERM")
attempt("hostname", lambda: socket.sethostname("owned"), "EPERM")
attempt("domainname", lambda: syscall(171, b"owned", 5), "EPERM")
report()
