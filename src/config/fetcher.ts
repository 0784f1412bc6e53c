import { z } from 'zod'
import { explain, httpUrl, seconds, text } from './fields.ts'

const GROUPS = 'a list of groups, such as [imaging]'

/** `fetcher:` of the file: where its jobs come from, and where their files lie meanwhile. */
export const fetcher = z
  .strictObject(
    {
      api_url: httpUrl().optional().describe('the worker-facing API'),
      username: text('a user name').optional().describe('account of the API'),
      password: text('a password').optional().describe('its password; better env:NAME or file:PATH'),
      access_token: text('a token')
        .optional()
        .describe('a fixed token in place of an account; better env:NAME or file:PATH'),
      path_base: text('a path').optional().describe('where the folders of jobs are for this process'),
      path_host_base: text('a path').optional().describe("the same place on the engine's machine"),
      timeout_job: seconds({ min: 0, max: 3600 })
        .default(10)
        .describe('seconds between two fetches that found no job'),
      timeout_status: seconds({ min: 0.1, max: 120 }).default(10).describe('seconds between two keep-alives'),
      give_up_after: seconds({ min: 1, max: 86_400 })
        .default(300)
        .describe('seconds without an answer after which the API gives a job to somebody else'),
      groups: z
        .preprocess(
          (value) =>
            typeof value === 'string' ? value.split(/[\s,]+/).filter((part) => part !== '') : value,
          z.array(text('the name of a group'), explain(GROUPS)),
        )
        .default([])
        .describe('only jobs of these groups; none = all'),
      older_than: seconds({ min: 0 }).optional().describe('only jobs that have waited for so many seconds'),
      cognito_url: httpUrl().optional().describe('another server that speaks the protocol of Cognito'),
    },
    explain('a map of settings'),
  )
  .prefault({})
  .describe('jobs with files, from a worker-facing API')
