import { describe, expect, it } from 'vitest'
import {
  digestOf,
  fitsPlatform,
  type StoredImage,
} from '../../../../src/executors/docker/images/stored-image.ts'

const [ONE, TWO] = ['1', '2'].map((each) => `sha256:${each.repeat(64)}`) as [string, string]
const image: StoredImage = {
  id: ONE,
  os: 'linux',
  architecture: 'arm',
  variant: 'v7',
  tags: [],
  digests: [`r.io/x@${ONE}`, `python@${TWO}`],
  sizeBytes: 1,
  volumes: [],
}

describe('digestOf', () => {
  it.each([
    ['r.io/x:1', ONE],
    ['python:3', TWO],
    ['docker.io/library/python', TWO],
    [`python@${TWO}`, TWO],
    ['r.io/other', undefined],
    // By its id: any of them is right.
    [ONE, ONE],
  ])('of %s', (name, digest) => {
    expect(digestOf(image, name)).toBe(digest)
  })
  it('is nothing for an image that was made here', () => {
    expect(digestOf({ ...image, digests: [] }, 'r.io/x:1')).toBeUndefined()
  })
})

describe('fitsPlatform', () => {
  it.each([
    ['linux/arm', true],
    ['linux/arm/v7', true],
    ['linux/arm/v6', false],
    ['linux/arm64', false],
    ['windows/arm', false],
  ])('%s: %s', (wanted, fits) => {
    expect(fitsPlatform(image, wanted)).toBe(fits)
  })
  it('takes an image at its word that names no variant', () => {
    expect(fitsPlatform({ ...image, variant: '' }, 'linux/arm/v6')).toBe(true)
  })
})
