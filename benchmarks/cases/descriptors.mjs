// 100,000 connections are handed over to contexts that die at any moment. Is anything open afterwards that was not before?
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const PROGRAM = fileURLToPath(new URL('../descriptors/program.mjs', import.meta.url))
const MANY = 100_000
const TIERS = [['threads', 0], ['a daemon', 1]]

const COLUMNS = [
  { key: 'handed', title: 'handed over', digits: 0 },
  { key: 'deaths', title: 'contexts that ended', digits: 0 },
  { key: 'cut', title: 'connections that ended with them', digits: 0 },
  { key: 'before', title: 'open before', digits: 0 },
  { key: 'after', title: 'open afterwards', digits: 0 },
  { key: 'confused', title: 'closed by others', digits: 0 },
]

export const descriptors = {
  about: 'Connections that move into contexts which die: what stays open, and whether a number is closed twice.',
  async run({ connections = MANY, progress }) {
    const found = []
    for (const [tier, processes] of TIERS) {
      const { stdout } = await run(process.execPath, [PROGRAM, '--connections', String(connections), '--processes', String(processes)])
      found.push([tier, JSON.parse(stdout)])
      progress()
    }
    const all = found.map(([, result]) => result)
    return {
      how: `${connections.toLocaleString('en')} connections in each tier.`,
      tables: [{ of: ['contexts in'], columns: COLUMNS, rows: found.map(([tier, result]) => ({ names: [tier], values: valuesOf(result) })) }],
      figures: {
        left: Math.max(...all.map((result) => valuesOf(result).after - valuesOf(result).before)),
        confused: Math.max(...all.map(({ confused, wrong }) => confused.length + wrong)),
      },
      samples: all,
    }
  },
}

/** Descriptors are those of all processes. */
function valuesOf({ before, after, lanes, deaths, cut, confused }) {
  const sum = (values) => values.reduce((total, value) => total + value, 0)
  return { handed: lanes.handoff, deaths, cut, before: sum(before), after: sum(after), confused: confused.length }
}
