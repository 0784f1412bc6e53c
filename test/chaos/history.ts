import type { AwsRequest } from '../support/faults/aws-front.ts'

/** Something that must never happen. */
export interface Violation {
  rule:
    | 'lost' // a job without a result, or a message that nobody has deleted
    | 'doubled' // a second result
    | 'wrong' // another result than the right one
    | 'blamed' // Failed, although the job did nothing wrong, or for another reason than its own
    | 'spared' // no failure, although the job failed
    | 'fenced' // an act of a runner whose time with the message was over
    | 'early' // a message deleted before its job had a result
    | 'leaked' // a container, network, volume or file that outlived its runner
    | 'died' // a runner that ended by itself
  what: string
}

interface Lease {
  client: string
  /** Flag of the message's job. */
  flag: string
  /** When the message is seen again at the latest, monotonic ms: the queue's own clock began before its answer. */
  until: number
}

/**
 * Replays the requests that a front saw, and says what of it broke the rules: a result that was written twice, an act
 * of a runner on a message that was not its any more, a message deleted before its job had a result.
 */
export function judgeRequests(requests: readonly AwsRequest[], visibilityMs: number): Violation[] {
  const violations: Violation[] = []
  const leases = new Map<string, Lease>()
  /** Flag → token of the write that made it. */
  const written = new Map<string, string>()

  function assertHeld(client: string, lease: Lease | undefined, at: number, what: string): void {
    if (lease === undefined)
      violations.push({ rule: 'fenced', what: `${client} ${what}, which it never had` })
    else if (at > lease.until) {
      const lateMs = Math.round(at - lease.until)
      violations.push({
        rule: 'fenced',
        what: `${client} ${what} ${String(lateMs)} ms after its time: ${lease.flag}`,
      })
    }
  }

  for (const { client, action, at, answeredAt, body, status, answer } of requests) {
    const receipt = `${client} ${String(body['ReceiptHandle'])}`
    const lease = leases.get(receipt)
    if (action === 'ReceiveMessage') {
      for (const message of (answer?.['Messages'] ?? []) as { ReceiptHandle: string; Body: string }[]) {
        const flag = flagOfMessage(String(body['QueueUrl']), message.Body)
        leases.set(`${client} ${message.ReceiptHandle}`, { client, flag, until: answeredAt + visibilityMs })
      }
    } else if (action === 'ChangeMessageVisibility') {
      assertHeld(client, lease, at, 'renews or releases')
      if (lease !== undefined && status === 200) lease.until = answeredAt + visibilityMs
    } else if (action === 'DeleteMessage') {
      assertHeld(client, lease, at, 'deletes')
      if (lease !== undefined && !written.has(lease.flag)) {
        violations.push({ rule: 'early', what: `${client} deletes the message of ${lease.flag}` })
      }
    } else if (action === 'TransactWriteItems') {
      const flag = flagOfWrite(body)
      if (flag === undefined) continue
      const own = [...leases.values()].filter((each) => each.client === client && each.flag === flag)
      assertHeld(client, own.sort((a, b) => b.until - a.until)[0], at, `writes ${flag}`)
      const token = String(body['ClientRequestToken'])
      if (status !== 200 || written.get(flag) === token) continue
      if (written.has(flag)) violations.push({ rule: 'doubled', what: `${client} writes ${flag} again` })
      written.set(flag, token)
    }
  }
  return violations
}

/** The flags of all results that were written, by what the servers answered. */
export function writtenFlags(requests: readonly AwsRequest[]): Set<string> {
  const flags = requests.map(({ action, status, body }) =>
    action === 'TransactWriteItems' && status === 200 ? flagOfWrite(body) : undefined,
  )
  return new Set(flags.filter((flag) => flag !== undefined))
}

/** `<ID> <Trial>` of the flag that the job of a message has when it is done; the body itself when it can't be read. */
function flagOfMessage(queueUrl: string, body: string): string {
  try {
    const message = JSON.parse(body) as { MatchID: string; ParticipantID: string; TrialNo: string }
    const series = queueUrl.endsWith('/scorer') ? 'Scores' : 'Evaluations'
    return `${series}#Match#${message.MatchID}#${message.ParticipantID} ${message.TrialNo}`
  } catch {
    return body
  }
}

/** The flag that a transaction puts; undefined when it is none of a result. */
function flagOfWrite(body: Record<string, unknown>): string | undefined {
  const items = (body['TransactItems'] ?? []) as {
    Put?: { Item: Record<string, { S?: string; BOOL?: boolean }>; ConditionExpression?: string }
  }[]
  const put = items.find(
    ({ Put }) =>
      Put?.ConditionExpression !== undefined && /^(Evaluations|Scores)#/.test(Put.Item['ID']?.S ?? ''),
  )?.Put
  return put === undefined ? undefined : `${put.Item['ID']?.S ?? ''} ${put.Item['Trial']?.S ?? ''}`
}
