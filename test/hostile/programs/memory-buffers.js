// {"status":"memory_limit_exceeded","exit":137,"oom":true,"job":{"limits":{"memory_bytes":100663296}}}
const kept = []
for (;;) kept.push(Buffer.alloc(1 << 20, 1))
