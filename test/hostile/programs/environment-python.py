# {"status":"success","stdout":"/nowhere /nowhere\n","job":{"env":{"PYTHONPATH":"/nowhere","PYTHONHOME":"/nowhere","PYTHONSTARTUP":"/nowhere","PATH":"/nowhere","HOME":"/nowhere"}}}
import os

print(os.environ["PYTHONPATH"], os.environ["PATH"])
