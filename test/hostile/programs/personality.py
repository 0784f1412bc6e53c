# {"status":"success","stdout":"none\n","arch":"x64","outside":"32 bits"}
from attempts import attempt, report, syscall

for name, value in (("32 bits", 8), ("no randomisation", 0x40000), ("read implies exec", 0x400000), ("page zero", 0x100000)):
    attempt(name, lambda: syscall(135, value), "EPERM")
report()
