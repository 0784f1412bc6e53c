# {"status":"success","stdout":"500000\n","job":{"stdin":"$LARGE"}}
import sys

print(len(sys.stdin.read()))
