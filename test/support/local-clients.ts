import {
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  type AttributeValue,
} from '@aws-sdk/client-dynamodb'
import { GetQueueAttributesCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import type { EmbeddedInfo } from '../../src/embedded/index.ts'

export type RawItem = Record<string, AttributeValue>

/** The embedded servers as any other program sees them: through Amazon's own clients. */
export class LocalClients {
  readonly info: EmbeddedInfo
  readonly sqs: SQSClient
  readonly dynamodb: DynamoDBClient

  constructor(info: EmbeddedInfo) {
    this.info = info
    const { region, accessKeyId, secretAccessKey } = info
    const common = { region, credentials: { accessKeyId, secretAccessKey } }
    this.sqs = new SQSClient({ ...common, endpoint: info.endpoints.sqs })
    this.dynamodb = new DynamoDBClient({ ...common, endpoint: info.endpoints.dynamodb })
  }

  async send(kind: 'evaluator' | 'scorer' | 'code-exec', body: string): Promise<void> {
    await this.sqs.send(new SendMessageCommand({ QueueUrl: this.info.queues[kind], MessageBody: body }))
  }

  /** Messages on a queue: waiting, and in flight. */
  async depth(url: string): Promise<{ waiting: number; inFlight: number }> {
    const { Attributes } = await this.sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] }),
    )
    return {
      waiting: Number(Attributes?.ApproximateNumberOfMessages),
      inFlight: Number(Attributes?.ApproximateNumberOfMessagesNotVisible),
    }
  }

  /** Stores a Solution as OptHub's cloud does; its message follows by itself. */
  async putSolution(
    matchId: string,
    participantId: string,
    trialNo: string,
    variable: AttributeValue,
  ): Promise<void> {
    const Item: RawItem = {
      ID: { S: `Solutions#Match#${matchId}#${participantId}` },
      Trial: { S: trialNo },
      TrialNo: { S: trialNo },
      ResourceType: { S: 'Solution' },
      MatchID: { S: `Match#${matchId}` },
      CreatedAt: { S: '2026-11-20T09:30:00.123Z' },
      ParticipantID: { S: participantId },
      UserID: { S: 'User#1' },
      Variable: variable,
    }
    await this.dynamodb.send(new PutItemCommand({ TableName: this.info.table, Item }))
  }

  async get(id: string, trial: string): Promise<RawItem | undefined> {
    const Key = { ID: { S: id }, Trial: { S: trial } }
    return (
      await this.dynamodb.send(new GetItemCommand({ TableName: this.info.table, Key, ConsistentRead: true }))
    ).Item
  }

  /** All items of a partition. */
  async partition(id: string): Promise<RawItem[]> {
    const query = new QueryCommand({
      TableName: this.info.table,
      KeyConditionExpression: 'ID = :id',
      ExpressionAttributeValues: { ':id': { S: id } },
      ConsistentRead: true,
    })
    return (await this.dynamodb.send(query)).Items ?? []
  }

  close(): void {
    this.sqs.destroy()
    this.dynamodb.destroy()
  }
}
