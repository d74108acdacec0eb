/**
 * The whole suite on every line of Node that is supported:
 * `node test/matrix/run.mjs [node20 node22 …] [filter…] [options of test/run.mjs…]`.
 * Only lint and types are left out, which are the same on each: the compiled tests are there already.
 * `--brief`, as in CI, leaves out the files of LONG too.
 * The binaries are installed when they are missing or others than package.json names; without one nothing runs.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
const wanted = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).dependencies
const known = Object.keys(wanted)
/**
 * Half of the suite's time; CI runs these on its own Node and the rest on every line. They depend least on the line: loops,
 * memory and starts that V8 has had for long, clients that send slowly or much, and our own tools.
 */
const LONG = [
  'hostile/tenants', 'hostile/daemon-tenants', 'hostile/slowhttptest', 'hostile/clients-floods', 'hostile/clients-slow',
  'behaviour/flood', 'cli/bench', 'run.test',
]
const brief = process.argv.includes('--brief')
const args = process.argv.slice(2).filter((argument) => argument !== '--brief')
const chosen = known.filter((name) => args.includes(name))
const names = chosen.length > 0 ? chosen : known
const rest = [...args.filter((argument) => !known.includes(argument)), ...(brief ? LONG.map((file) => `--without=${file}`) : [])]
const bin = (name) => join(folder, 'node_modules', name, 'bin')

if (process.platform !== 'linux' || process.arch !== 'x64') {
  fail(`the binaries in test/matrix/package.json are for linux-x64, and this is ${process.platform}-${process.arch}`)
}

if (!known.every(isInstalled)) {
  console.log(`installing ${known.join(', ')} in test/matrix`)
  // By npm's own file where npm runs this, since the name alone may be a shell's.
  const npm = process.env.npm_execpath
  const install = ['ci', '--no-audit', '--no-fund', '--ignore-scripts']
  const { status } = npm === undefined
    ? spawnSync('npm', install, { cwd: folder, stdio: 'inherit' })
    : spawnSync(process.execPath, [npm, ...install], { cwd: folder, stdio: 'inherit' })
  const missing = known.filter((name) => !isInstalled(name)).map((name) => `${name} (${wanted[name]})`)
  if (status !== 0 || missing.length > 0) {
    fail(`NOTHING WAS TESTED: npm could not install ${missing.join(', ') || known.join(', ')}; what npm says is above`)
  }
}

const results = []
for (const name of names) {
  const node = join(bin(name), 'node')
  const version = versionOf(name)
  console.log(`\n== ${version}\n`)
  const started = performance.now()
  const { status, signal } = spawnSync(node, ['test/run.mjs', ...rest], {
    cwd: join(folder, '../..'), stdio: 'inherit',
    // What a test starts by the name of node is the same Node.
    env: { ...process.env, PATH: bin(name) + delimiter + process.env.PATH },
  })
  results.push({ version, passed: status === 0, seconds: Math.round((performance.now() - started) / 1000) })
  if (signal !== null) break
}

console.log()
if (brief) console.log(`left out: ${LONG.join(', ')}; \`npm run test:matrix\` without --brief runs them`)
for (const { version, passed, seconds } of results) console.log(`${passed ? '✔' : '✖'} ${version} (${seconds} s)`)
process.exitCode = results.length === names.length && results.every(({ passed }) => passed) ? 0 : 1

/** What the binary says of itself; undefined where there is none that runs. */
function versionOf(name) {
  return spawnSync(join(bin(name), 'node'), ['--version'], { encoding: 'utf8' }).stdout?.trim()
}

function isInstalled(name) {
  return versionOf(name) === `v${wanted[name].split('@').at(-1)}`
}

function fail(message) {
  console.error(`test/matrix/run.mjs: ${message}`)
  process.exit(1)
}
