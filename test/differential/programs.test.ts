import path from 'node:path'
import { after, test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { openPairs, share } from './lanes.ts'
import { programs, requests, run } from './program.ts'
import type { Outcome, Program, Packets } from './program.ts'

const pairs = share((t) => openPairs(t, path.resolve('test/fixtures/apps/program.mjs')))
const OVER_TLS = ['node:https', 'runtime.listen(), TLS', 'a context that speaks TLS']
const RUNS = Number(process.env['DIFFERENTIAL_RUNS'] ?? 100)
/** The suite tries the same ones each time; whoever asks for more gets others. */
const seed = process.env['DIFFERENTIAL_RUNS'] === undefined ? { seed: 20_261_122 } : {}

let cases = 0
after(() => console.log(`${cases} generated handlers and requests did the same as behind node:http`))

test('any handler answers any request with the same bytes, and sees the same, as behind node:http', async (t) => {
  await fc.assert(fc.asyncProperty(programs, requests, async (program: Program, packets: Packets) => {
    const cleanUps: (() => unknown)[] = []
    const scope = { after: (cleanUp: unknown) => void cleanUps.push(cleanUp as () => unknown) } as Pick<typeof t, 'after'>
    try {
      const outcomes = await Promise.all(pairs().flatMap(({ oracle, ours }) => [oracle, ours]).map((lane) => run(scope, lane, program, packets)))
      const { seen } = outcomes[0] as Outcome
      for (const [index, { name, seesAsOracle }] of pairs().entries()) {
        // Whoever asks for anything but a path is told to come again, and relayed then: docs/tls.md.
        if (seesAsOracle && /^\S+ [^/]/.test(packets.join(''))) continue
        const [oracle, ours] = outcomes.slice(2 * index) as [Outcome, Outcome]
        const answer = OVER_TLS.includes(name) ? cutAlike(oracle, ours) : oracle.answer
        // What a framework has answered for itself, nobody behind it has seen.
        if (seesAsOracle) {
          assert.deepEqual({ ...ours, seen: unordered(ours.seen) }, { answer, seen: unordered(oracle.seen) }, name)
        } else {
          assert.deepEqual(ours, { answer, seen: oracle.seen[0]?.head.url === seen[0]?.head.url ? seen : oracle.seen }, name)
        }
        cases++
      }
    } finally {
      for (const cleanUp of cleanUps) cleanUp()
    }
  }), { ...seed, numRuns: RUNS, includeErrorInReport: true, interruptAfterTimeLimit: 2000 * RUNS, markInterruptAsFailure: true })
})

/** Behind real sockets of TLS, which of an application's events comes first is a matter of time. */
function unordered(seen: Outcome['seen']): unknown[] {
  return seen.map((record) => {
    const { req, res } = record as { req?: readonly string[]; res?: readonly string[] }
    return { ...record, req: req?.toSorted(), res: res?.toSorted() }
  })
}

/** By TLS, how much of an answer arrives before its connection is reset is a matter of time. */
function cutAlike(oracle: Outcome, ours: Outcome): string {
  const isCut = !JSON.stringify(oracle.seen).includes('"finish"')
  return isCut && (oracle.answer.startsWith(ours.answer) || ours.answer.startsWith(oracle.answer)) ? ours.answer : oracle.answer
}
