// {"status":"signaled","exit":134,"signal":"SIGABRT","job":{"limits":{"memory_bytes":134217728}}}
process.abort()
