import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { canStartPrivateEngine } from '../../support/engine.ts'

const SCRIPT = resolve(import.meta.dirname, '../../../scripts/docker-up.sh')

/** Runs a script as on a machine of its own: no engine, empty /run, /var/lib and /var/log, own network. */
async function onBareMachine(script: string): Promise<string[]> {
  const prepare =
    'ip link set lo up; for d in /run /var/lib /var/log; do mount -t tmpfs none $d; done; mkdir -p /run/lock'
  const lines = `set -eu; ${prepare}; up=${SCRIPT}; pid() { cat /run/docker.pid; }; ${script}`
  const args = ['-n', '-m', '--propagation', 'private', 'sh', '-c', lines]
  const environment = { PATH: process.env['PATH'] ?? '' }
  const { stdout, stderr } = await promisify(execFile)('unshare', args, { env: environment })
  return (stdout + stderr).trim().split('\n')
}

describe.skipIf(!canStartPrivateEngine())('scripts/docker-up.sh', () => {
  it('starts an engine that outlives it, once, and stops it', async () => {
    const lines = await onBareMachine(`
      $up; first=$(pid); $up; [ "$first" = "$(pid)" ]
      docker version >/dev/null
      $up --stop; if docker version >/dev/null 2>&1; then exit 9; fi; $up --stop`)
    expect(lines).toEqual([
      'docker-up: an engine runs at unix:///var/run/docker.sock (its log: /var/log/opthub-runner-docker.log)',
      `docker-up: stop it with: ${SCRIPT} --stop`,
      'docker-up: an engine answers already; nothing to do',
      'docker-up: stopped',
      'docker-up: this script has started no engine; nothing is stopped',
    ])
  })

  it('starts one after a kill, whatever that has left behind', async () => {
    await onBareMachine(`
      $up; kill -9 $(pid); $up; docker version >/dev/null
      kill -9 $(pid); while docker version >/dev/null 2>&1; do sleep 0.1; done; echo $$ > /run/docker.pid
      $up; docker version >/dev/null; $up --stop`)
  })

  it('leaves alone an engine that somebody else has started', async () => {
    await onBareMachine(`
      dockerd >/dev/null 2>&1 & until docker version >/dev/null 2>&1; do sleep 0.1; done
      $up; $up --stop; docker version >/dev/null
      kill $(pid); wait`)
  })

  it('finds a way where no firewall rule can be set', async () => {
    const lines = await onBareMachine(`
      mkdir /run/bin; for name in iptables ip6tables iptables-legacy ip6tables-legacy; do
        printf '#!/bin/sh\\nexit 3\\n' > /run/bin/$name; chmod +x /run/bin/$name
      done
      PATH=/run/bin:$PATH; $up; docker version >/dev/null; $up --stop`)
    expect(lines.join('\n')).toContain('trying without firewall rules')
  })

  it.each([
    ['an unknown argument', '$up --start', 'unknown argument: --start'],
    [
      'a DOCKER_HOST where nothing answers',
      'DOCKER_HOST=unix:///nope $up',
      'no engine answers at DOCKER_HOST=unix:///nope',
    ],
    ['a user who is not root', 'setpriv --reuid 65534 --clear-groups $up', 'takes root'],
  ])('refuses %s', async (_name, command, message) => {
    expect((await onBareMachine(`${command} && exit 9 || [ $? = 1 ]`)).join('\n')).toContain(message)
  })
})
