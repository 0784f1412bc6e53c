# {"status":"success","keptBytes":60000}
import sys

sys.stdout.write("é" * 30_000)
