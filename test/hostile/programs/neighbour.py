# {"status":"canceled"}
# Somebody else's job, with all that others could find of it. It runs beside them all.
import ctypes, os, socket, time

abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\0opthub-neighbour")
abstract.listen()
listener = socket.create_server(("0.0.0.0", 18080))
for path in ("/tmp/neighbour", "/dev/shm/neighbour", "neighbour"):
    with open(path, "w") as file:
        file.write("secret of the neighbour")
libc = ctypes.CDLL(None)
libc.shmget(0x4E42, 4096, 0o1666)
libc.msgget(0x4E42, 0o1666)
os.environ["NEIGHBOUR"] = "secret of the neighbour"
print("ready", flush=True)
time.sleep(1000)
