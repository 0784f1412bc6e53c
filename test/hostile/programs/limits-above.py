# {"status":"rejected","error":"limits.memory_bytes","job":{"limits":{"memory_bytes":1099511627776}}}
print("never")
