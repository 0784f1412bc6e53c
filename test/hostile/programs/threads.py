# {"status":"success","stdout":"bounded\n"}
import threading

stop = threading.Event()
count = 0
try:
    while count < 1000:
        threading.Thread(target=stop.wait, daemon=True).start()
        count += 1
except RuntimeError:
    pass
print("bounded" if 5 < count < 32 else count)
