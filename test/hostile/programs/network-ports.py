# {"status":"success","stdout":"none\n"}
# Nobody listens in here, on whatever port.
import socket
from attempts import attempt, report

for port in range(1, 65536):
    with socket.socket() as stream:
        stream.setblocking(False)
        try:
            stream.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            continue
        except BlockingIOError:
            continue
        attempt(str(port), lambda: port)
report()
