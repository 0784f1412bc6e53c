import { test } from 'vitest'
import { Database } from '../../../src/embedded/database.ts'
import { SqsService } from '../../../src/embedded/sqs/service.ts'
import { DynamoService } from '../../../src/embedded/dynamodb/service.ts'
import { listen } from '../../../src/embedded/server.ts'
import { writeState } from '../../../src/embedded/state-file.ts'
import { createLogger } from '../../../src/core/log.ts'
import { temporaryFolder } from './support.ts'
test('prof', async () => {
  for (let i = 0; i < 3; i++) {
    const dataDir = await temporaryFolder()
    let t = performance.now()
    const lap = (n: string) => { process.stderr.write(`${n} ${performance.now() - t}\n`); t = performance.now() }
    const db = await Database.open(dataDir + '/db'); lap('db')
    const s = await listen(0, { accessKeyId: 'a', secretAccessKey: 'b' }, createLogger(() => undefined)); lap('listen')
    await writeState(dataDir, { port: 1, accessKeyId: 'a', secretAccessKey: 'b' }); lap('state')
    const q = await SqsService.load(db, { region: 'x', baseUrl: () => '' }); lap('sqs')
    for (let k = 0; k < 8; k++) await q.ensureQueue('q' + k, {}); lap('queues')
    const d = await DynamoService.load(db, { region: 'x', accountId: '0', react: () => undefined }); lap('dynamo')
    await d.ensureTable('opthub', 'ID', 'Trial'); lap('table')
    await s.close(); await db.close(); lap('close')
  }
})
