# {"status":"signaled","exit":153,"signal":"SIGXFSZ"}
import signal

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
with open("large", "wb") as file:
    file.write(b"x" * 5_000_000)
