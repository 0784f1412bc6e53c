# {"status":"memory_limit_exceeded","exit":137,"oom":true}
kept = []
while True:
    kept.append(str(len(kept)) * 10)
