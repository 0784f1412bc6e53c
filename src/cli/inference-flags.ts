import type { Command } from 'commander'
import type { SettingFlags } from './settings.ts'

/** What commander makes of the flags that describe one call of a model. */
export interface CallFlags {
  image?: string
  prompt?: string
  input?: string
  messages?: string
  maxTokens?: string
  mode?: string
  protocol?: string
  path?: string
  port?: string
  env?: string[]
  gpus?: string
  memory?: string
  timeout?: string
  id?: string
}

/** What commander makes of the flags that say which server answers. */
export interface ServerFlags {
  tritonHost?: string
  tritonPort?: string
  url?: string
  model?: string
  preload?: true
}

/** Adds the flags that describe one call of a model. */
export function addCallFlags(command: Command): Command {
  const each = (value: string, others: string[] = []): string[] => [...others, value]
  return command
    .argument('[args...]', "the image's arguments, in place of its own")
    .option('--image <image>', 'the image of the model')
    .option('--prompt <text>', 'a text to be completed; - reads it from standard input')
    .option('--input <path>', 'the whole request as JSON; - reads it from standard input')
    .option('--messages <path>', 'a chat, as a JSON list of messages; - reads it from standard input')
    .option('--max-tokens <n>', 'with --prompt or --messages: most tokens of the answer')
    .option('--mode <mode>', 'oneshot, jsonl or server (default: oneshot)')
    .option(
      '--protocol <name>',
      'what its server speaks: openai, kserve, triton-generate, cog or raw (default: openai)',
    )
    .option('--path <path>', 'where the server is asked, such as /v1/completions')
    .option('--port <n>', 'where the server in the container listens (default: 8000)')
    .option('--env <name=value>', 'an environment variable of the image; may come often', each)
    .option('--gpus <n>', 'how many GPUs it gets (default: 0)')
    .option('--memory <size>', 'memory and swap together, such as 4g')
    .option('--timeout <seconds>', 'how long the call may take (default: 600)')
    .option('--id <id>', 'name of the job (default: a random one)')
}

/** Adds the flags that say which server answers in place of containers, and which model. */
export function addServerFlags(command: Command): Command {
  return command
    .option('--triton-host <host>', 'a Triton that runs already answers (or TRITON_HOST)')
    .option('--triton-port <port>', 'its port: 8001 is gRPC, 8000 HTTP (or TRITON_PORT)')
    .option('--url <url>', 'a server that runs already answers')
    .option('--model <name>', 'name of the model on the server')
    .option('--preload', 'load the model first, and receive nothing while it is not ready')
}

/** Whether the flags hold something to ask. */
export function isCallGiven({ prompt, input, messages }: CallFlags): boolean {
  return prompt !== undefined || input !== undefined || messages !== undefined
}

type Settings = NonNullable<SettingFlags['settings']>

/** The settings that the flags of a server stand for. */
export function serverSettings(flags: ServerFlags): Settings {
  return given([
    ['inference.triton.host', '--triton-host', flags.tritonHost],
    ['inference.triton.port', '--triton-port', flags.tritonPort],
    ['inference.url', '--url', flags.url],
    ['inference.model', '--model', flags.model],
    ['inference.preload', '--preload', flags.preload === true ? 'true' : undefined],
  ])
}

/** The settings that the flags of a call stand for, where a queue is worked: what messages leave out. */
export function queueSettings(flags: CallFlags): Settings {
  return given([
    ['inference.image', '--image', flags.image],
    ['inference.mode', '--mode', flags.mode],
    ['inference.protocol', '--protocol', flags.protocol],
    ['inference.server.port', '--port', flags.port],
    ['inference.limits.gpus', '--gpus', flags.gpus],
    ['inference.limits.memory', '--memory', flags.memory],
    ['inference.timeout', '--timeout', flags.timeout],
  ])
}

function given(all: readonly (readonly [key: string, flag: string, value: string | undefined])[]): Settings {
  return Object.fromEntries(
    all.flatMap(([key, flag, value]) => (value === undefined ? [] : [[key, { flag, value }] as const])),
  )
}
