import path from 'node:path'
import { after, test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { openLanes, shareLanes } from './lanes.ts'
import { programs, requests, run } from './program.ts'
import type { Program, Packets } from './program.ts'

const lanes = shareLanes((t) => openLanes(t, path.resolve('test/fixtures/apps/program.mjs')))
const RUNS = Number(process.env['DIFFERENTIAL_RUNS'] ?? 150)
/** The suite tries the same ones each time; whoever asks for more gets others. */
const seed = process.env['DIFFERENTIAL_RUNS'] === undefined ? { seed: 20_261_122 } : {}

let cases = 0
after(() => console.log(`${cases} generated handlers and requests did the same as behind node:http`))

test('any handler answers any request with the same bytes, and sees the same, as behind node:http', async (t) => {
  await fc.assert(fc.asyncProperty(programs, requests, async (program: Program, packets: Packets) => {
    const cleanUps: (() => unknown)[] = []
    const scope = { after: (cleanUp: unknown) => void cleanUps.push(cleanUp as () => unknown) } as Pick<typeof t, 'after'>
    try {
      const { bare, others } = lanes()
      const [expected, ...actual] = await Promise.all([bare, ...others].map((lane) => run(scope, lane, program, packets)))
      for (const [index, { name }] of others.entries()) {
        assert.deepEqual(actual[index], expected, name)
        cases++
      }
    } finally {
      for (const cleanUp of cleanUps) cleanUp()
    }
  }), { ...seed, numRuns: RUNS, includeErrorInReport: true, interruptAfterTimeLimit: 100_000, markInterruptAsFailure: true })
})
