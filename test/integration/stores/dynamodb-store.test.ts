import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, request as forward } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { createLogger } from '../../../src/core/log.ts'
import { openEmbedded, type Embedded } from '../../../src/embedded/index.ts'
import { createDynamoDbStore } from '../../../src/stores/dynamodb/dynamodb-store.ts'
import { describeLeaseContract } from '../../contract/lease-contract.ts'
import { describeStoreContract } from '../../contract/store-contract.ts'
import { hasJava, startDynamoDbLocal, type DynamoDbLocal } from '../../support/dynamodb-local.ts'

describe('the DynamoDB store on the embedded server', () => {
  let dataDir: string
  let embedded: Embedded

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'store-'))
    embedded = await openEmbedded({ dataDir, log: createLogger(() => undefined) })
  })
  afterAll(async () => {
    await embedded.close()
    await rm(dataDir, { recursive: true, force: true })
  })

  // eslint-disable-next-line @typescript-eslint/require-await -- the contract waits for those that need it
  describeStoreContract(async () => {
    const { endpoints, region, accessKeyId, secretAccessKey, table } = embedded.info
    return createDynamoDbStore({
      tableName: table,
      region,
      endpoint: endpoints.dynamodb,
      credentials: { accessKeyId, secretAccessKey },
    })
  })

  // eslint-disable-next-line @typescript-eslint/require-await -- the contract waits for those that need it
  describeLeaseContract(async () => {
    const { endpoints, region, accessKeyId, secretAccessKey, table, leaseTable } = embedded.info
    const connection = { region, endpoint: endpoints.dynamodb, credentials: { accessKeyId, secretAccessKey } }
    return { connection, table, leaseTable }
  })
})

const runnable = hasJava()
if (!runnable) {
  const why = "NOT RUN: the store on Amazon's DynamoDB Local needs Java 17 or newer on the PATH"
  if (process.env['CI'] === 'true') throw new Error(why)
  console.warn(why)
}

describe.skipIf(!runnable)("the DynamoDB store on Amazon's DynamoDB Local", () => {
  let local: DynamoDbLocal

  beforeAll(async () => {
    local = await startDynamoDbLocal()
  })
  afterAll(async () => {
    await local.stop()
  })

  function connectionTo(endpoint: string) {
    const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
    return { tableName: 'opthub', region: 'us-east-1', endpoint, credentials }
  }

  async function createTable(TableName: string): Promise<void> {
    const client = new DynamoDBClient(connectionTo(local.endpoint))
    await client.send(
      new CreateTableCommand({
        TableName,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [
          { AttributeName: 'ID', AttributeType: 'S' },
          { AttributeName: 'Trial', AttributeType: 'S' },
        ],
        KeySchema: [
          { AttributeName: 'ID', KeyType: 'HASH' },
          { AttributeName: 'Trial', KeyType: 'RANGE' },
        ],
      }),
    )
    client.destroy()
  }

  describeStoreContract(async () => {
    await createTable('opthub')
    return createDynamoDbStore(connectionTo(local.endpoint))
  })

  describeLeaseContract(async () => {
    await Promise.all([createTable('leases-results'), createTable('leases')])
    return { connection: connectionTo(local.endpoint), table: 'leases-results', leaseTable: 'leases' }
  })

  test('a write whose answer was lost on the way is known to be ours', async () => {
    let cuts = 0
    const proxy = createServer((request, response) => {
      const forwarded = forward(local.endpoint, { method: 'POST', headers: request.headers }, (answer) => {
        if (cuts === 0 && String(request.headers['x-amz-target']).endsWith('TransactWriteItems')) {
          cuts += 1
          request.socket.destroy()
          return
        }
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
      })
      request.pipe(forwarded)
    })
    proxy.listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    const { port } = proxy.address() as AddressInfo
    const store = createDynamoDbStore(connectionTo(`http://127.0.0.1:${String(port)}`))
    onTestFinished(() => {
      store.close()
      proxy.closeAllConnections()
      proxy.close()
    })
    const flag = { ID: 'lost', Trial: '00001' }
    expect(await store.put([{ ...flag, Trial: 'Success#00001' }, flag], flag)).toBe('written')
    expect(cuts).toBe(1)
    expect(await store.put([flag], flag)).toBe('exists')
  })
})
