# {"status":"success","stdout":"none\n","job":{"args":["$ADDRESSES","$PORT"]}}
# Metadata services, gateways, neighbours, the host by all of its addresses, and the world.
import socket, sys
from attempts import attempt, report

hosts = [each for each in sys.argv[1].split(",") if "%" not in each]
hosts += ["169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254", "fe80::1", "8.8.8.8", "1.1.1.1"]
hosts += [f"172.{net}.0.{last}" for net in (17, 18, 19) for last in range(1, 6)] + ["10.0.0.1", "192.168.0.1", "2001:4860:4860::8888"]
hosts += ["0.0.0.0", "127.0.0.1", "::1", "127.0.0.53", "127.0.0.11", "255.255.255.255", "224.0.0.1"]
for host in hosts:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (22, 53, 80, 443, 2375, 2376, 18080, int(sys.argv[2] or 1)):
        with socket.socket(family, socket.SOCK_STREAM) as stream:
            stream.settimeout(0.5)
            attempt(f"{host} {port}", lambda: stream.connect((host, port)))
    if not host.startswith(("127.", "0.", "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as datagram:
            attempt(f"{host} UDP", lambda: datagram.sendto(b"x", (host, 53)), "ENETUNREACH", "EADDRNOTAVAIL", "EACCES")
report()
