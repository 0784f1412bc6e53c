# {"status":"success","stdout":"none\n"}
# What is hidden is there, but empty.
import os
from attempts import attempt, report, walk


def content(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        data = os.read(fd, 4096)
    finally:
        os.close(fd)
    if data == b"":
        raise OSError(2, "empty")
    return data[:60]


for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats", "/proc/kpagecount", "/proc/kmsg", "/proc/vmallocinfo", "/proc/slabinfo", "/proc/pagetypeinfo", "/dev/mem", "/dev/kmsg", "/dev/port"):
    attempt(path, lambda: content(path))
for top in ("/proc/acpi", "/proc/scsi", "/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security"):
    for path in walk(top):
        attempt(path, lambda: content(path))
addresses = {line.split()[0].strip("0") for line in open("/proc/kallsyms")} if os.path.exists("/proc/kallsyms") else set()
if addresses - {""}:
    attempt("kallsyms", lambda: addresses.pop())
report()
