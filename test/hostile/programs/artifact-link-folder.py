# {"status":"success","artifacts":[],"job":{"artifacts":["out/**"]}}
import os

os.symlink("/etc", "out")
