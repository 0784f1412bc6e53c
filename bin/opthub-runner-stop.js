#!/usr/bin/env node
// The old runner's name for ending a process.
process.argv.splice(2, 0, 'stop')
import('./opthub-runner.js')
