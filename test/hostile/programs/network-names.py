# {"status":"success","stdout":"none\n"}
import socket
from attempts import attempt, report

names = ["example.com", "metadata.google.internal", "host.docker.internal", "gateway.docker.internal", "kubernetes.default"]
for name in names:
    attempt(name, lambda: socket.getaddrinfo(name, 80))
report()
