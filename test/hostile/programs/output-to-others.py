# {"status":"success","stdout":"to stdout by name\n","stderr":"to stderr by name\n"}
with open("/proc/self/fd/1", "w") as file:
    file.write("to stdout by name\n")
with open("/dev/stderr", "w") as file:
    file.write("to stderr by name\n")
