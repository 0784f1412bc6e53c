// {"status":"time_limit_exceeded","job":{"limits":{"wall_time_ms":1500,"memory_bytes":134217728}}}
;/^(a+)+$/.test('a'.repeat(64) + 'b')
