import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

interface Row {
  readonly names: readonly string[]
  readonly values?: Readonly<Record<string, { readonly median: number }>>
  readonly ratios?: Readonly<Record<string, { readonly median: number }>>
  readonly missing?: string
}

interface Table {
  readonly title?: string
  readonly rows: readonly Row[]
}

interface Goal {
  readonly case: string
  readonly what: string
  readonly atLeast?: number
  readonly atMost?: number
  readonly values: (result: { tables: readonly Table[] }) => readonly (number | undefined)[]
}

interface Case {
  readonly run: (settings: object) => Promise<unknown>
}

async function load<T>(name: string): Promise<T> {
  return await import(pathToFileURL(path.resolve('benchmarks', name)).href) as T
}

const { compare } = await load<{ compare: (settings: object) => Table }>('measure.mjs')
const { goals, judge } = await load<{ goals: readonly Goal[]; judge: (goal: Goal, result: unknown) => { found?: number; kept?: boolean } }>('goals.mjs')
const { cases } = await load<{ cases: Readonly<Record<string, Case>> }>('cases.mjs')
const { loadCase, checkHosts, checkLane } = await load<{
  loadCase: (settings: object) => Case
  checkHosts: (server: object, contender: object) => Promise<void>
  checkLane: (server: object, contender: object) => Promise<void>
}>('cases/load.mjs')
const { showResult } = await load<{ showResult: (result: object) => string }>('report.mjs')

const columns = [{ key: 'cpu', title: 'CPU', digits: 1, ratio: true }]

function tableOf(title: string, relay: readonly number[]): Table {
  const rounds = (values: readonly number[]): object[] => values.map((cpu) => ({ cpu }))
  return compare({ title, columns, measured: [['bare', rounds([10, 20, 10])], ['relay', rounds(relay)]], bound: 'bare' })
}

test('a ratio is taken round by round, since a slow round is slow for everybody', () => {
  const { rows } = tableOf('32 connections', [12, 24, 11])
  assert.equal(rows[1]?.ratios?.['cpu']?.median, 1.2)
})

test('of several tables the worst is held against a goal', () => {
  const goal = goals.find(({ what }) => what === 'relay, CPU a request against bare')
  assert.ok(goal?.atMost !== undefined)
  const kept = tableOf('32 connections', [10, 20, 10])
  const missed = tableOf('256 connections', [20, 40, 20])
  assert.equal(judge(goal, { tables: [kept] }).kept, true)
  const judged = judge(goal, { tables: [kept, missed] })
  assert.deepEqual([judged.found, judged.kept], [2, false])
})

test('a goal that nothing was measured for is neither kept nor missed', () => {
  for (const goal of goals) assert.equal(judge(goal, undefined).kept, undefined, goal.what)
})

test('every goal is asked of a case that there is', () => {
  assert.deepEqual(goals.filter((goal) => !(goal.case in cases)).map(({ what }) => what), [])
})

test('a contender that this machine has not is named, with what to install', () => {
  const table = compare({ columns, measured: [['bare', [{ cpu: 1 }]]], bound: 'bare', missing: [['apache', 'apt-get install apache2']] })
  assert.match(showResult({ tables: [table] }), /apache +\| missing: apt-get install apache2/)
})

test('a server that answers wrongly is not measured', async () => {
  const wrong = loadCase({
    about: '', contenders: ['bare'], columns: ['requests'],
    loads: [{ title: '', connections: 1, path: '/', check: ({ text }: { text: string }) => text === 'Something else' }],
  })
  await assert.rejects(wrong.run({ rounds: 1, seconds: 1, warmup: 1, progress: () => {} }), /bare answers wrongly/)
})

test('a contender that does not tell hosts apart is not measured as one that does', async (t) => {
  const server = createServer((_, response) => response.end('Hello, World!')).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const asked = { name: 'mixed', url: `http://127.0.0.1:${address.port}` }
  await checkHosts(asked, {})
  await assert.rejects(checkHosts(asked, { hosts: true }), /mixed answers other\.example\.test wrongly/)
})

test('a contender whose connections took the other lane is not measured', async () => {
  const took = (handoff: number, relay: object): object => ({ name: 'lane', lanes: () => Promise.resolve({ handoff, relay }) })
  await checkLane(took(300, { head: 1 }), { lane: 'handoff' })
  await assert.rejects(checkLane(took(300, { head: 40 }), { lane: 'handoff' }), /300 connections were handed over/)
  await assert.rejects(checkLane(took(0, { context: 300 }), { lane: 'handoff' }), /0 connections were handed over/)
  await assert.rejects(checkLane(took(300, {}), { lane: 'relay' }), /300 connections were handed over/)
})
