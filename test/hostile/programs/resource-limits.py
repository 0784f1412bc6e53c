# {"status":"success","stdout":"none\n","outside":"FSIZE unbounded"}
import resource
from attempts import attempt, report

for name in ("NOFILE", "FSIZE", "CORE", "CPU"):
    number = getattr(resource, f"RLIMIT_{name}")
    hard = resource.getrlimit(number)[1]
    if hard == resource.RLIM_INFINITY:
        attempt(f"{name} unbounded", lambda: hard)
    else:
        attempt(name, lambda: resource.setrlimit(number, (hard + 1, hard + 1)), "EPERM")
        attempt(f"{name} above", lambda: resource.setrlimit(number, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)), "EPERM")
report()
