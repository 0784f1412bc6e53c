import { test } from 'vitest'
import { configJsonSchema, configSchema } from '../../../src/config/schema.ts'
test('x', () => { 
 console.log(configSchema.parse({}))
 console.log(JSON.stringify(configJsonSchema(), null, 1))
 console.log(configSchema.safeParse({timeout:'abc', wait_time:'21', rm:'off', limits:{memory:'1x', cpu:'3'}, max_output:'16 MiB', matches:{foo:{}, '*':{problem:{image:'a b', environment:{A:['x']}}}}, endpoint_url:'ftp:', concurrency:'x', interval: '-1', allowed_images: 'a, b'}).error?.issues)
 throw 1
})
