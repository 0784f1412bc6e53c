# {"status":"memory_limit_exceeded","exit":137,"oom":true}
block = bytearray(1 << 30)
for index in range(0, len(block), 4096):
    block[index] = 1
