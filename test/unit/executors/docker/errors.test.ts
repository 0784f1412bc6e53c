import { describe, expect, it } from 'vitest'
import {
  EngineError,
  pullError,
  startError,
  surroundingError,
  transportError,
} from '../../../../src/executors/docker/api/errors.ts'

/** What an error is in the end: the reason of an ImageError, or the surrounding of a RetryableError. */
function sort(error: unknown): string {
  const { name, reason, surrounding } = error as { name: string; reason?: string; surrounding?: string }
  return `${name} ${reason ?? surrounding ?? ''}`
}

describe('startError', () => {
  it.each([
    [404, 'No such image: x:1', 'ImageError not_found'],
    [
      404,
      'image with reference x was found but does not match the specified platform: wanted linux/arm64, actual: linux/amd64',
      'ImageError platform_mismatch',
    ],
    [
      400,
      'failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory: unknown',
      'ImageError not_startable',
    ],
    [
      400,
      'OCI runtime create failed: exec: "no space left on device": executable file not found in $PATH: unknown',
      'ImageError not_startable',
    ],
    [500, 'unable to find user zorro: no matching entries in passwd file', 'ImageError not_startable'],
    [500, 'unable to find user /sys/fs/cgroup: no matching entries in passwd', 'ImageError not_startable'],
    [500, 'unable to find user fork/exec /x: no matching entries in passwd', 'ImageError not_startable'],
    [
      500,
      'failed to create shim task: OCI runtime create failed: error during container init: exec format error',
      'ImageError platform_mismatch',
    ],
    [400, 'invalid environment variable: =x', 'ImageError not_startable'],
    [500, 'failed to mount overlay: no space left on device', 'RetryableError disk'],
    [500, 'error creating overlay mount: write /var/lib/docker: disk quota exceeded', 'RetryableError disk'],
    [
      500,
      'error during container init: fork/exec: resource temporarily unavailable',
      'RetryableError engine',
    ],
    [500, 'error during container init: mounting "x": cannot allocate memory', 'RetryableError engine'],
    [
      400,
      'failed to create shim task: OCI runtime create failed: runc create failed: unable to create new parent process: namespace path: lstat /proc/11687/ns/pid: no such file or directory: unknown',
      'RetryableError engine',
    ],
    [409, 'cannot join network of a non running container: abc', 'RetryableError engine'],
    [409, 'Conflict. The container name "/x" is already in use', 'RetryableError engine'],
    [500, 'driver failed programming external connectivity', 'RetryableError engine'],
    [503, '', 'RetryableError engine'],
    [
      500,
      'OCI runtime create failed: unable to retrieve OCI runtime error (open /run/containerd/x/log.json: no such file or directory): fork/exec /usr/bin/runc: no such file or directory: unknown',
      'RetryableError engine',
    ],
    [
      500,
      'OCI runtime create failed: unable to retrieve OCI runtime error (open /run/containerd/x/log.json: no such file or directory): exec: "runc": executable file not found in $PATH: unknown',
      'RetryableError engine',
    ],
    [
      500,
      'failed to start shim: fork/exec /usr/bin/containerd-shim-runc-v2: permission denied',
      'RetryableError engine',
    ],
    [
      500,
      'failed to start shim: exec: "containerd-shim-runc-v2": executable file not found in $PATH',
      'RetryableError engine',
    ],
    [500, 'fork/exec /usr/bin/runc: exec format error', 'RetryableError engine'],
    [
      500,
      'error creating overlay mount to /var/lib/docker/overlay2/abc/merged: invalid argument',
      'RetryableError engine',
    ],
    [
      500,
      'runc create failed: unable to start container process: unable to apply cgroup configuration: failed to write 12: write /sys/fs/cgroup/pids/docker/x/cgroup.procs: invalid argument: unknown',
      'RetryableError engine',
    ],
    // The path of a program in the image decides nothing.
    [
      400,
      'runc create failed: unable to start container process: exec: "/bin/containerd-shim": stat /bin/containerd-shim: no such file or directory: unknown',
      'ImageError not_startable',
    ],
    [
      500,
      'runc create failed: unable to start container process: exec: "/x": permission denied: unknown',
      'ImageError not_startable',
    ],
  ])('%i %s', (status, message, sorted) => {
    expect(sort(startError(new EngineError(status, message), 'x'))).toBe(sorted)
  })
})

describe('pullError', () => {
  it.each([
    [
      "pull access denied for nope, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
      'ImageError denied',
    ],
    ['unauthorized: authentication required', 'ImageError denied'],
    ['Get "https://r/v2/": no basic auth credentials', 'ImageError denied'],
    ['manifest for x:1 not found: manifest unknown: manifest unknown', 'ImageError not_found'],
    ['manifest unknown', 'ImageError not_found'],
    ['repository x/y not found: does not exist or no pull access', 'ImageError not_found'],
    ['invalid reference format: repository name must be lowercase', 'ImageError invalid_reference'],
    ['no matching manifest for linux/arm64/v8 in the manifest list entries', 'ImageError platform_mismatch'],
    ['toomanyrequests: You have reached your pull rate limit', 'RetryableError registry'],
    [
      'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on 10.0.0.1:53: no such host',
      'RetryableError registry',
    ],
    [
      'Get "https://r/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded)',
      'RetryableError registry',
    ],
    ['dial tcp 127.0.0.1:1: connect: connection refused', 'RetryableError registry'],
    ['received unexpected HTTP status: 503 Service Unavailable', 'RetryableError registry'],
    ['unexpected EOF', 'RetryableError registry'],
    ['write /var/lib/docker/tmp/x: no space left on device', 'RetryableError disk'],
    [
      'failed to register layer: write /app/node_modules/http-errors/lib/forbidden.js: no space left on device',
      'RetryableError disk',
    ],
    [
      'failed to extract layer sha256:1: write /usr/share/doc/denied/not found: disk quota exceeded: unknown',
      'RetryableError disk',
    ],
    ['Get "https://r/v2/": dial tcp 10.0.0.1:443: connect: permission denied', 'RetryableError registry'],
    ['open /var/lib/docker/tmp/GetImageBlob1: permission denied', 'RetryableError engine'],
    ['failed to register layer: layer does not exist', 'RetryableError engine'],
    // A broken or foreign layer, in the words of engines that don't say where they met it.
    [
      'failed to register layer: failed to Lchown "/x" for UID 0, GID 42: lchown /x: invalid argument',
      'RetryableError registry',
    ],
    ['failed to register layer: unexpected EOF', 'RetryableError registry'],
    ['failed to register layer: mkdir /usr/x: not a directory', 'RetryableError registry'],
    ['failed to register layer: open /usr/x: read-only file system', 'RetryableError engine'],
    [
      'failed to prepare extraction snapshot "extract-1": lease does not exist: not found',
      'RetryableError engine',
    ],
    ['lease does not exist: not found', 'RetryableError engine'],
    [
      'failed to register layer: Error processing tar file(exit status 1): open /app/denied: invalid argument',
      'RetryableError registry',
    ],
    ['denied: no space left on device is not the end of it', 'ImageError denied'],
  ])('%s', (message, sorted) => {
    expect(sort(pullError(new EngineError(500, message), 'x'))).toBe(sorted)
  })

  it.each([
    [
      'r:5000/test/denied:1',
      'manifest for r:5000/test/denied:1 not found: manifest unknown',
      'ImageError not_found',
    ],
    [
      'test/forbidden',
      'manifest for test/forbidden:latest not found: manifest unknown',
      'ImageError not_found',
    ],
    [
      'test/unauthorized',
      'received unexpected HTTP status: 500: test/unauthorized',
      'RetryableError registry',
    ],
    ['denied', 'denied: requested access to the resource is denied', 'ImageError denied'],
  ])('is not led astray by the name %s', (image, message, sorted) => {
    expect(sort(pullError(new EngineError(404, message), image))).toBe(sorted)
  })
})

describe('what is not in the form of the engine', () => {
  it.each([
    [400, '<html>Your browser sent an invalid request: no such file</html>'],
    [403, '<html>Request forbidden by administrative rules</html>'],
    [404, '404 page not found: no such image'],
    [429, 'Too Many Requests'],
  ])('is no word about the image: %i %s', (status, message) => {
    const error = new EngineError(status, message, false)
    expect(sort(startError(error, 'x'))).toBe('RetryableError engine')
    expect(sort(pullError(error, 'x'))).toBe('RetryableError engine')
  })
})

describe('other errors', () => {
  it("stay as they are, or become the engine's", () => {
    const bug = new TypeError('bug')
    for (const convert of [
      surroundingError,
      (e: unknown) => startError(e, 'x'),
      (e: unknown) => pullError(e, 'x'),
    ]) {
      expect(convert(bug)).toBe(bug)
    }
    expect(sort(surroundingError(new EngineError(500, 'oops')))).toBe('RetryableError engine')
    expect(sort(transportError(new Error('ECONNREFUSED'), 'unix:///x'))).toBe('RetryableError engine')
    expect(transportError(new Error('gone'), 'unix:///x').message).toContain('unix:///x')
  })
})
