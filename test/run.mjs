/**
 * Runs the compiled tests: `node test/run.mjs [filter…] [node options…]`.
 * A filter is a part of a test file's path: `label/`, `architecture`.
 * `--concurrency=N` files at once, `--time-limit=SECONDS` for each of them;
 * `--quiet` leaves out what passing files say, `--without=FILTER` files;
 * `--again`, or TEST_AGAIN=1, gives files that fail a second run, alone.
 *
 * Each file is a process with a group of its own, since `node --test` neither
 * ends a file that hangs (from Node 24 on) nor what such a file has started.
 */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from '../bundle.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const built = process.env.TENANTRY_TEST_FOLDER ?? join(root, 'build', 'test')
const args = process.argv.slice(2)
const filters = args.filter((argument) => !argument.startsWith('--'))
const options = args.filter((argument) => argument.startsWith('--') && !/^--(concurrency=|time-limit=|without=|quiet$|again$)/.test(argument))
const without = args.filter((argument) => argument.startsWith('--without=')).map((argument) => argument.slice(10))
const quiet = args.includes('--quiet')
const again = args.includes('--again') || process.env.TEST_AGAIN === '1'
// Many files start worker threads or servers of their own: more files than processors is only noise.
const concurrency = numberOption('concurrency', Math.max(1, Math.min(4, availableParallelism())))
const timeLimit = numberOption('time-limit', 400)

let entries
try {
  entries = readdirSync(built, { recursive: true, withFileTypes: true })
} catch {
  fail(`nothing is compiled in ${relative(process.cwd(), built)}: run "npm run types" first`)
}

const files = entries
  .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
  .map((entry) => relative(root, join(entry.parentPath, entry.name)))
  .filter((file) => (filters.length === 0 || matches(file, filters)) && !matches(file, without))
  .sort()
  // By far the longest: begun last, one processor would work and the others wait.
  .sort((a, b) => Number(b.includes('hostile')) - Number(a.includes('hostile')))

// A filter with a slip in it must not look like success.
if (files.length === 0) fail(`no test file matches ${filters.map((filter) => JSON.stringify(filter)).join(', ')}`)

// What threads load is made anew, so that it is never older than what was compiled.
if (process.env.TENANTRY_TEST_FOLDER === undefined) await bundle(join(root, 'build', 'src'))

const started = performance.now()
const totals = { tests: 0, suites: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 }
const running = new Set()

for (const [signal, number] of [['SIGINT', 2], ['SIGTERM', 15], ['SIGHUP', 1]]) {
  process.on(signal, () => {
    for (const child of running) killGroup(child)
    process.exit(128 + number)
  })
}
process.on('exit', () => { for (const child of running) killGroup(child) })

const queue = files.values()
const results = new Map()
await Promise.all(Array.from({ length: concurrency }, async () => {
  for (const file of queue) results.set(file, await runFile(file))
}))

// Promises about time are kept by a machine that has time: what is broken beside other files may be the machine's doing.
// What is broken again, with nothing beside it, is ours.
const second = again ? failing() : []
for (const file of second) {
  console.log(`↻ again, alone: ${file}\n`)
  results.set(file, await runFile(file))
}
for (const { counts } of results.values()) for (const name of Object.keys(totals)) totals[name] += counts.get(name) ?? 0
const failed = failing().map((file) => [file, results.get(file).fault].filter(Boolean).join(': '))
const late = second.filter((file) => results.get(file).passed)
if (late.length > 0) console.log(`↻ failed beside others, passed alone:\n${late.map((file) => `  ${file}`).join('\n')}\n`)

if (failed.length > 0) console.log(`\n✖ failing files, as ${process.version} ran them:\n${failed.map((line) => `  ${line}`).join('\n')}\n`)
// The closing lines of node:test, for all files together.
for (const [name, count] of Object.entries(totals)) console.log(`ℹ ${name} ${count}`)
console.log(`ℹ duration_ms ${performance.now() - started}`)
process.exitCode = failed.length > 0 ? 1 : 0

function failing() {
  return [...results].filter(([, { passed }]) => !passed).map(([file]) => file)
}

function matches(file, some) {
  return some.some((filter) => file.split(sep).join('/').includes(filter))
}

/** Prints what a file said in one piece when it is over; resolves with its closing lines, and what is wrong with them. */
async function runFile(file) {
  const since = performance.now()
  const child = spawn(process.execPath, ['--test-reporter=spec', ...options, file], {
    cwd: root, stdio: ['ignore', 'pipe', 'pipe'], detached: process.platform !== 'win32',
  })
  running.add(child)
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { said += text })
  let fault
  const timer = setTimeout(() => {
    fault = `did not end within ${timeLimit} s and was killed`
    killGroup(child)
  }, timeLimit * 1000)
  const closed = new Promise((resolve) => { child.once('close', resolve) })
  const { code, signal } = await new Promise((resolve) => { child.once('exit', (code, signal) => resolve({ code, signal })) })
  clearTimeout(timer)
  if (fault === undefined && !(await groupEnds(child))) fault = 'left a process behind, which was killed'
  killGroup(child)
  await closed
  running.delete(child)

  const counts = new Map()
  said = said.replace(/^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)\n/gm, (_line, name, count) => {
    counts.set(name, Number(count))
    return ''
  })
  const reported = (counts.get('fail') ?? 0) + (counts.get('cancelled') ?? 0)
  if (fault === undefined && !counts.has('pass')) fault = `ended (${signal ?? code}) before its tests did`
  if (fault === undefined && reported === 0 && code !== 0) fault = `ended with ${signal ?? code} although no test failed`
  if (fault !== undefined) for (const name of ['tests', 'fail']) counts.set(name, (counts.get(name) ?? 0) + 1)
  const result = { passed: fault === undefined && reported === 0, fault, counts }
  if (result.passed && quiet) return result
  const seconds = ((performance.now() - since) / 1000).toFixed(1)
  console.log(`${said.trimEnd()}\n${fault === undefined ? `  ${file} (${seconds} s)` : `✖ ${file} ${fault} (${seconds} s)`}\n`)
  return result
}

/** Children that were told to end get a moment for it. */
async function groupEnds(child) {
  for (let waited = 0; waited < 2000; waited += 50) {
    if (!groupLives(child)) return true
    await new Promise((resolve) => { setTimeout(resolve, 50) })
  }
  return false
}

function groupLives(child) {
  if (process.platform === 'win32') return false
  try {
    process.kill(-child.pid, 0)
  } catch {
    return false
  }
  // The dead count as well until somebody collects them, which in a container may be nobody.
  return process.platform !== 'linux' || readdirSync('/proc').some((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      const [state, , group] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1).split(' ')
      return Number(group) === child.pid && state !== 'Z'
    } catch {
      return false
    }
  })
}

function killGroup(child) {
  try {
    process.kill(process.platform === 'win32' ? child.pid : -child.pid, 'SIGKILL')
  } catch {
    // It is over.
  }
}

function numberOption(name, otherwise) {
  const value = args.findLast((argument) => argument.startsWith(`--${name}=`))?.slice(name.length + 3)
  if (value === undefined) return otherwise
  if (!(Number(value) > 0)) fail(`--${name} wants a number above 0, not ${JSON.stringify(value)}`)
  return Number(value)
}

function fail(message) {
  console.error(`test/run.mjs: ${message}`)
  process.exit(1)
}
