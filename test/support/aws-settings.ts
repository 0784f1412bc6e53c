import type { EmbeddedInfo } from '../../src/embedded/index.ts'

/** What a config file says to lead to the embedded servers. */
export function awsSettings({ queues, table, ...info }: EmbeddedInfo): Record<string, unknown> {
  return {
    evaluator_queue_url: queues.evaluator,
    scorer_queue_url: queues.scorer,
    table_name: table,
    region_name: info.region,
    access_key_id: info.accessKeyId,
    secret_access_key: info.secretAccessKey,
    endpoint_url: info.endpoints.sqs,
  }
}

/** Settings as the text of a config file, one line each: JSON is YAML. */
export function toYaml(settings: Readonly<Record<string, unknown>>): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
    .join('')
}
