# {"status":"output_limit_exceeded","stdout":"a","job":{"limits":{"output_bytes":1}}}
print("ab", flush=True)
while True:
    pass
