import { createRandom } from '../support/faults/random.ts'

/** What a job does, and so what must be recorded of it. */
export const CONDUCTS = {
  ok: undefined,
  slow: undefined,
  /** A result counts whatever the exit code. */
  'exit-fit': undefined,
  exit: /^The program exited with code 1: /,
  /** What an engine's kill looks like, chosen by the program itself. */
  'exit-137': /^The program exited with code 137: /,
  garbage: /not valid JSON/,
  says: /^told so$/,
  endless: /^The program did not end within /,
} as const satisfies Record<string, RegExp | undefined>
export type Conduct = keyof typeof CONDUCTS

export interface Job {
  /** From 1; what a good evaluation's objective must be. */
  number: number
  conduct: Conduct
  participantId: string
  trialNo: string
}

export const MATCH = '77777777-2222-3333-4444-555555555555'
export const PROBLEM = 'opthub-runner-chaos/problem'
export const INDICATOR = 'opthub-runner-chaos/indicator'
const PARTICIPANTS = ['User#1', 'User#2', 'Team#3', 'Team#4', 'User#5', 'User#6']

/** Every so manieth good evaluation is one at which the indicator fails. */
const INDICATOR_FAILS_AT = 17

/** Seconds that a program may take. Far more than one needs that is to end, however busy the machine. */
export const TIMEOUT_SECONDS = 6

/** Behaves as its solution tells it to. */
export const PROBLEM_SCRIPT = `read -r line
number=\${line#*\\"n}; number=\${number%%\\"*}
echo "log of $number" >&2
case "$line" in
  *'"exit"'*) exit 1 ;;
  *'"exit-137"'*) exit 137 ;;
  *'"garbage"'*) echo '{"objective": 1' ;;
  *'"says"'*) echo '{"objective": 1, "error": "told so"}' ;;
  *'"endless"'*) echo '{"objective": 1}'; sleep 1000 ;;
  *'"exit-fit"'*) echo "{\\"objective\\": $number}"; exit 1 ;;
  *'"slow"'*) sleep 1.5; echo "{\\"objective\\": $number}" ;;
  *) echo "{\\"objective\\": $number}" ;;
esac
`

/** Scores a trial by how many were there before it. */
export const INDICATOR_SCRIPT = `read -r trial; read -r history
number=\${trial#*objective\\": }; number=\${number%%.*}
[ $((number % ${INDICATOR_FAILS_AT})) -eq 0 ] && exit 1
count=0
while [ "$history" != "\${history#*trial_no}" ]; do history=\${history#*trial_no}; count=$((count + 1)); done
echo "{\\"score\\": $count}"
`

/** Shares of each hundred jobs. */
const SHARES: Record<Conduct, number> = {
  ok: 68,
  slow: 10,
  'exit-fit': 3,
  exit: 5,
  'exit-137': 4,
  garbage: 4,
  says: 4,
  endless: 2,
}

/** The jobs of a round, one after the other, without end. */
export function* jobsOf(seed: string): Generator<Job, never> {
  const random = createRandom(`${seed} jobs`)
  const bag = Object.entries(SHARES).flatMap(([conduct, share]) =>
    Array.from({ length: share }, () => conduct as Conduct),
  )
  const counts = new Map<string, number>()
  for (let number = 1; ; number += 1) {
    const participantId = random.pick(PARTICIPANTS)
    const trial = (counts.get(participantId) ?? 0) + 1
    counts.set(participantId, trial)
    yield { number, conduct: random.pick(bag), participantId, trialNo: String(trial).padStart(5, '0') }
  }
}

/** Whether a job's evaluation is to succeed. */
export function evaluates({ conduct }: Job): boolean {
  return CONDUCTS[conduct] === undefined
}

/** Whether a job's score is to succeed, once it was evaluated. */
export function scores({ number }: Job): boolean {
  return number % INDICATOR_FAILS_AT !== 0
}

export function messageOf({ participantId, trialNo }: Job): string {
  return JSON.stringify({ MatchID: MATCH, ParticipantID: participantId, TrialNo: trialNo })
}
