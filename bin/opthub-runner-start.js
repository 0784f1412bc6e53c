#!/usr/bin/env node
// The old runner's name for starting a process: its options may stand before `evaluator` or `scorer`.
process.argv[1] = 'opthub-runner-start'
import('./opthub-runner.js')
