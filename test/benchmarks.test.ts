import { test } from 'node:test'
import assert from 'node:assert/strict'
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
const { loadCase } = await load<{ loadCase: (settings: object) => Case }>('cases/load.mjs')
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
