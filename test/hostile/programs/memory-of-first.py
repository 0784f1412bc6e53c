# {"status":"memory_limit_exceeded","exit":137,"oom":true}
# Memory that runs out ends the first process instead of this one.
with open("/proc/1/oom_score_adj", "w") as file:
    file.write("1000")
kept = []
while True:
    kept.append(b"x" * (1 << 20))
