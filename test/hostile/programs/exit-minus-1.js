// {"status":"runtime_error","exit":255,"job":{"limits":{"memory_bytes":134217728}}}
process.exit(-1)
