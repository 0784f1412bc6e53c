import { describe, expect, it } from 'vitest'
import { isAllowed, isReference, parseReference } from '../../../../src/executors/docker/images/reference.ts'

const DIGEST = `sha256:${'0'.repeat(64)}`

describe('parseReference', () => {
  it.each([
    ['python', 'python', 'latest', 'docker.io', 'docker.io/library/python:latest'],
    ['python:3.11', 'python', '3.11', 'docker.io', 'docker.io/library/python:3.11'],
    ['org/x', 'org/x', 'latest', 'docker.io', 'docker.io/org/x:latest'],
    ['docker.io/org/x:1', 'docker.io/org/x', '1', 'docker.io', 'docker.io/org/x:1'],
    ['ghcr.io/org/x:1', 'ghcr.io/org/x', '1', 'ghcr.io', 'ghcr.io/org/x:1'],
    ['localhost/x', 'localhost/x', 'latest', 'localhost', 'localhost/x:latest'],
    ['localhost:5000/x', 'localhost:5000/x', 'latest', 'localhost:5000', 'localhost:5000/x:latest'],
    ['127.0.0.1:5000/a/b:c', '127.0.0.1:5000/a/b', 'c', '127.0.0.1:5000', '127.0.0.1:5000/a/b:c'],
    [`x@${DIGEST}`, 'x', DIGEST, 'docker.io', `docker.io/library/x@${DIGEST}`],
    [`ghcr.io/o/x:1@${DIGEST}`, 'ghcr.io/o/x', DIGEST, 'ghcr.io', `ghcr.io/o/x@${DIGEST}`],
  ])('takes %s apart', (image, repository, tag, registry, canonical) => {
    const isPinned = image.includes('@')
    const name = canonical.slice(0, -tag.length - 1)
    expect(parseReference(image)).toEqual({ repository, tag, registry, name, canonical, isPinned })
  })

  it.each([DIGEST, '0'.repeat(64)])('knows an id: %s', (image) => {
    expect(parseReference(image)).toBeUndefined()
  })
})

describe('isReference', () => {
  it.each(['python', 'a/b/c:1', 'localhost:5000/x', `x@${DIGEST}`, DIGEST])('takes %s', (image) => {
    expect(isReference(image)).toBe(true)
  })
  it.each(['', ' ', 'a b', '../etc', 'a/../b', '-x', 'x\n', 'x?y', 'x%2f', 'ä', '$(x)'])(
    'refuses %j',
    (image) => {
      expect(isReference(image)).toBe(false)
    },
  )
})

describe('isAllowed', () => {
  it.each([
    ['python:3', [], true],
    ['python:3', ['python'], true],
    ['python:3', ['python:3'], true],
    ['python:3.11', ['python:3'], false],
    ['python:3', ['docker.io/library/*'], true],
    ['python:3', ['docker.io/library/python:*'], true],
    ['pythonic:3', ['python'], false],
    ['evil/python', ['python'], false],
    ['ghcr.io/org/x:1', ['ghcr.io/org/*'], true],
    ['ghcr.io/organ/x:1', ['ghcr.io/org/*'], false],
    ['evil.io/ghcr.io/org/x', ['ghcr.io/org/*'], false],
    ['ghcrXio/org/x', ['ghcr.io/org/*'], false],
    [`python@${DIGEST}`, ['python'], true],
    ['a', ['b', '*'], true],
  ])('%s by %j: %s', (image, patterns, allowed) => {
    expect(isAllowed(image, patterns)).toBe(allowed)
  })
})
