/**
 * Runs the compiled tests: `node test/run.mjs [filter…] [node:test options…]`.
 * A filter is a part of a test file's path: `label/`, `architecture`.
 *
 * Files are found here and given one by one, since what `node --test` does with a
 * folder or a pattern differs between Node 20, 22, 24 and 26.
 */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const built = join(root, 'build', 'test')
const options = process.argv.slice(2).filter((argument) => argument.startsWith('--'))
const filters = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))

let entries
try {
  entries = readdirSync(built, { recursive: true, withFileTypes: true })
} catch {
  fail(`nothing is compiled in ${relative(process.cwd(), built)}: run "npm run types" first`)
}

const files = entries
  .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
  .map((entry) => relative(root, join(entry.parentPath, entry.name)))
  .filter((file) => filters.length === 0 || filters.some((filter) => file.split(sep).join('/').includes(filter)))
  .sort()

// A filter with a slip in it must not look like success.
if (files.length === 0) fail(`no test file matches ${filters.map((filter) => JSON.stringify(filter)).join(', ')}`)

const defaults = [
  ['--test-reporter', 'spec'],
  // Each file is a process, many start worker threads or browsers of their own: more files than processors is only noise.
  ['--test-concurrency', String(Math.max(1, Math.min(4, availableParallelism())))],
].filter(([name]) => !options.some((option) => option === name || option.startsWith(`${name}=`)))

const child = spawn(
  process.execPath,
  ['--test', ...defaults.map((pair) => pair.join('=')), ...options, ...files],
  { cwd: root, stdio: 'inherit' },
)
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  process.exitCode = signal === null ? code ?? 1 : 1
})

function fail(message) {
  console.error(`test/run.mjs: ${message}`)
  process.exit(1)
}
