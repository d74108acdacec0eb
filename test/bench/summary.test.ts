import { test } from 'node:test'
import assert from 'node:assert/strict'
import os from 'node:os'
import { htmlReport } from '../../src/bench/html-report.ts'
import { spread, summarise, type Summary } from '../../src/bench/summary.ts'
import { textReport } from '../../src/bench/text-report.ts'
import type { Plan, Round } from '../../src/bench/measure.ts'

const ROUND: Round = {
  requestsPerSecond: 1000, p50: 1, p99: 2, p999: 4, cpu: 10, memory: 50 * 2 ** 20, peakMemory: 60 * 2 ** 20, coldStart: 40,
  latencies: [[50, 1], [99, 2], [99.9, 4]], keptBack: undefined, generatorBusy: 0.3,
}

const STAGE: Plan['stage'] = {
  program: '', config: '', host: 'h.example.test', directory: '', env: {},
  load: { mounts: [], kind: 'auto', preload: [], directory: '', label: '' },
}

/** A summary of made-up rounds: what each row has other than ROUND, round by round. */
function summaryOf(rows: readonly (readonly Partial<Round>[])[], changes: Partial<Plan> = {}, loadBefore = 0): Summary {
  const contenders = rows.map((_, index) => ({ name: index === 0 ? 'bare' : `row <${index}>`, about: `about & ${index}`, flags: index === 0 ? undefined : [], lane: index === 0 ? undefined : 'handoff' as const }))
  const requests = [{ method: 'GET', path: '/"><script>alert(1)</script>', host: 'h.example.test', headers: [], body: undefined }]
  const plan: Plan = { contenders, stage: STAGE, requests, connections: 8, duration: 5000, rounds: rows[0]?.length ?? 0, compare: true, ...changes }
  const measured = { contenders, answers: [{ status: 200, bytes: 13 }], rounds: rows.map((rounds) => rounds.map((other) => ({ ...ROUND, ...other }))) }
  return summarise(plan, measured, { version: '1.2.3', entry: '/srv/app <1>/server.mjs', date: new Date(0), loadAverageBefore: loadBefore })
}

test('a spread is the median with the lowest and the highest, and nothing where a value is missing', () => {
  assert.deepEqual(spread([3, 1, 2]), { median: 2, min: 1, max: 3 })
  assert.deepEqual(spread([10, 2, 1, 4]), { median: 3, min: 1, max: 10 })
  assert.equal(spread([1, undefined]), null)
  assert.equal(spread([]), null)
})

test('a ratio is that of two figures of the same round, not of two medians', () => {
  const rows = [[{ cpu: 10 }, { cpu: 20 }, { cpu: 40 }], [{ cpu: 20 }, { cpu: 30 }, { cpu: 40 }]]
  const { figures, ratios } = summaryOf(rows).rows[1] ?? assert.fail()
  assert.deepEqual(figures.cpu, { median: 30, min: 20, max: 40 })
  assert.deepEqual(ratios.cpu, { median: 1.5, min: 1, max: 2 })
})

test('what a system does not say is no figure, and no report breaks on it', () => {
  const unknown = { cpu: undefined, memory: undefined, peakMemory: undefined }
  const summary = summaryOf([[unknown], [unknown]])
  assert.deepEqual([summary.rows[1]?.figures.cpu, summary.rows[1]?.ratios.memory], [null, null])
  assert.match(textReport(summary), /^row <1> .* - /m)
  const page = htmlReport(summary)
  assert.match(page, /not known on this system/)
  assert.doesNotMatch(page + textReport(summary), /NaN|undefined|Infinity/)
})

test('the notes say what makes the figures mean less, and only then', () => {
  const rounds = [{}, {}, {}]
  const said = (summary: Summary, what: RegExp): boolean => summary.notes.some((note) => what.test(note))
  const steady = summaryOf([rounds, rounds])
  assert.ok(said(steady, new RegExp(`share ${os.availableParallelism()} processor`)))
  const doubts: readonly (readonly [RegExp, Summary])[] = [
    [/no time left with row <1>/, summaryOf([rounds, [{}, { generatorBusy: 0.95 }, {}]])],
    [/was busy before \(load 99\.0\)/, summaryOf([rounds, rounds], {}, 99)],
    [/more than a fifth with row <1>/, summaryOf([rounds, [{}, { requestsPerSecond: 1300 }, {}]])],
    [/Fewer than three rounds/, summaryOf([[{}], [{}]])],
    [/2 connections of row <1> stayed in the front: head \(/, summaryOf([rounds, [{}, { keptBack: { head: 2 } }, {}]])],
    [/no hand-off rows/, summaryOf([rounds, rounds], { contenders: [{ name: 'other', about: '', flags: [], lane: 'handoff' }] })],
    [/were not compared/, summaryOf([rounds, rounds], { compare: false })],
  ]
  for (const [what, doubtful] of doubts) assert.deepEqual([said(steady, what), said(doubtful, what)], [false, true], String(what))
})

test('the page is whole in itself: nothing from elsewhere, no script, and text stays text', () => {
  const page = htmlReport(summaryOf([[{}], [{}], [{}]]))
  assert.doesNotMatch(page, /<script|<link|<img|@import|url\(|https?:|\son\w+=/i)
  assert.ok(page.includes('GET /&#34;&#62;&#60;script&#62;alert(1)&#60;/script&#62;'))
  assert.ok(page.includes('<title>What would isolation cost app &#60;1&#62;/server.mjs?</title>'))
})

test('every chart of the page says in words what it shows, and every row and note stands in the page', () => {
  const summary = summaryOf([[{ cpu: 10 }], [{ cpu: 15 }]])
  const page = htmlReport(summary)
  const charts = [...page.matchAll(/<svg[^>]*role="img" aria-labelledby="([^"]+)"><title id="([^"]+)">([^<]+)</g)]
  assert.equal(charts.length, 6)
  for (const [, labelled, id] of charts) assert.equal(labelled, id)
  assert.equal(new Set(charts.map(([, , id]) => id)).size, charts.length)
  assert.ok(charts.some(([, , , words = '']) => words.includes('bare: 10.0; row &#60;1&#62;: 15.0 × 1.50.')), charts.map(([, , , words]) => words).join('\n'))
  for (const note of summary.notes) assert.ok(page.includes(note), note)
  assert.ok(page.includes('about &#38; 1'))
})
