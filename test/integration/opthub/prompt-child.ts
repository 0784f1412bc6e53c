import { start } from '../../../src/cli/main.ts'

// The program as bin/ starts it, without a build.
await start()
