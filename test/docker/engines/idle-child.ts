/** A process that asks the engine of DOCKER_HOST one question and closes nothing. */
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'

const engine = await connectEngine({ environment: process.env })
const version = (await engine.json('GET', '/version')) as { Os: string }
console.log(version.Os)
