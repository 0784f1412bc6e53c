/** Notes images by names of its own in a folder, until it is killed; says each name once it is noted. */
import { PulledImages } from '../../../../src/executors/docker/images/pulled-images.ts'

const [, , folder = '', self = ''] = process.argv
const pulled = new PulledImages(folder)
/** Every image has all names that any of the processes can give it. */
const tags = ['0', '1', '2'].flatMap((who) => Array.from({ length: 3000 }, (_, n) => `r.io/${who}:${n}`))
for (let n = 0; n < 3000; n += 1) {
  const name = `r.io/${self}:${n}`
  const id = `sha256:${String(n % 5).repeat(64)}`
  const image = {
    id,
    os: 'linux',
    architecture: '',
    variant: '',
    tags,
    digests: [],
    sizeBytes: 0,
    volumes: [],
  }
  await pulled.note(image, name)
  process.stdout.write(`${name}\n`)
}
