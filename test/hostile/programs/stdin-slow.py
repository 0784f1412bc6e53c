# {"status":"runtime_error","exit":5,"stdout":"40\n","job":{"stdin":"$LARGE"}}
import os, sys, time

count = 0
for _ in range(40):
    count += len(os.read(0, 1))
    time.sleep(0.01)
print(count)
sys.exit(5)
