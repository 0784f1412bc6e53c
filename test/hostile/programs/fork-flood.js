// {"status":"runtime_error","exit":9,"job":{"limits":{"memory_bytes":134217728}}}
const { spawn } = require('child_process')
let failed = 0
for (let n = 0; n < 40; n++) spawn('sleep', ['1000']).on('error', () => (failed += 1))
setTimeout(() => process.exit(failed > 0 ? 9 : 0), 300)
