# {"status":"output_limit_exceeded","keptBytes":65536}
while True:
    print("x" * 1000)
