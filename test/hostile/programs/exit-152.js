// {"status":"signaled","exit":152,"signal":"SIGXCPU","job":{"limits":{"memory_bytes":134217728}}}
process.exit(152)
