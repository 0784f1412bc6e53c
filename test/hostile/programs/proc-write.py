# {"status":"success","stdout":"none\n"}
import os
from attempts import attempt, report, walk

for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches", "/proc/sys/kernel/hostname"):
    attempt(path, lambda: os.open(path, os.O_WRONLY))
for top in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi", "/proc/tty", "/proc/dynamic_debug"):
    for path in walk(top):
        if os.path.isfile(path) and os.access(path, os.W_OK):
            attempt(path, lambda: os.open(path, os.O_WRONLY))
for name in os.listdir("/proc"):
    path = f"/proc/{name}"
    if os.path.isfile(path):
        attempt(path, lambda: os.open(path, os.O_WRONLY))
report()
