// {"status":"time_limit_exceeded","limit":"wall","job":{"limits":{"wall_time_ms":1500,"memory_bytes":134217728}}}
process.on('SIGTERM', () => undefined)
for (;;);
