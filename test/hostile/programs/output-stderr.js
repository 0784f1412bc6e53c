// {"status":"output_limit_exceeded","keptBytes":65536,"stdout":"","job":{"limits":{"memory_bytes":134217728}}}
for (;;) require('fs').writeSync(2, 'x'.repeat(10000))
