# {"status":"time_limit_exceeded","limit":"wall","exit":137,"oom":false,"stdout":"before\n","job":{"limits":{"wall_time_ms":1500}}}
print("before")
while True:
    pass
