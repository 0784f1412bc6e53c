# {"status":"output_limit_exceeded","keptBytes":3000,"job":{"limits":{"output_bytes":3000}}}
import os

while True:
    os.write(1, b"x")
