# {"status":"runtime_error","exit":2,"artifacts":[],"skipped":["out"],"job":{"artifacts":["out"]}}
import sys

sys.exit(2)
