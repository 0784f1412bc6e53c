/** Calls the image of IMAGE, with FOLDER mounted if there is one, as the user of SETUID, and closes nothing. */
import { statSync } from 'node:fs'
import { runImage } from '../../../src/image-runner.ts'

const { IMAGE = '', FOLDER, SETUID, DOCKER_HOST } = process.env
if (FOLDER === undefined) {
  const { stdout } = await runImage({ image: IMAGE, input: 'in\n' })
  process.stdout.write(stdout)
} else {
  const [uid = 0, gid = 0] = (SETUID ?? '').split(':').map(Number)
  // As somebody who is in the group that may use the engine.
  process.setgroups?.([statSync((DOCKER_HOST ?? '').replace('unix://', '')).gid])
  process.setgid?.(gid)
  process.setuid?.(uid)
  const mounts = [{ source: FOLDER, target: '/w' }]
  const { exitCode } = await runImage({ image: IMAGE, args: ['/bin/touch', '/w/made'], mounts })
  process.exitCode = exitCode
}
