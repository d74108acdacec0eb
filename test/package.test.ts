import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = process.cwd()

interface Manifest {
  readonly name: string
  readonly bin: Record<string, string>
  readonly exports: Record<string, string | { readonly types: string; readonly default: string }>
}
interface Packed { readonly filename: string; readonly files: readonly { readonly path: string }[] }

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest
const folder = mkdtempSync(join(tmpdir(), 'tenantry-pack-'))
after(() => rmSync(folder, { recursive: true, force: true }))

let tarball = ''
let paths: readonly string[] = []

before(async () => {
  // npm is found beside node on every platform through the variable that `npm test` sets; else by its name.
  const npm = process.env['npm_execpath']
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]
  const { stdout } = npm === undefined
    ? await run('npm', args, { cwd: root, shell: process.platform === 'win32' })
    : await run(process.execPath, [npm, ...args], { cwd: root })
  // npm up to 11 answers with a list, a later one with an object by package name.
  const answer = Object.values(JSON.parse(stdout) as Record<string, Packed>)[0]
  assert.ok(answer !== undefined, stdout)
  tarball = join(folder, answer.filename)
  paths = answer.files.map(({ path }) => path)
})

/** Runs a tool of node_modules by its file, so that it works where no shell finds it; rejects with its output. */
async function tool(script: string, ...args: string[]): Promise<string> {
  try {
    const { stdout } = await run(process.execPath, [join(root, 'node_modules', script), ...args], {
      cwd: folder,
      env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' },
    })
    return stdout
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    assert.fail(`${script} found a fault:\n${stdout}\n${stderr}`)
  }
}

test('publint finds nothing wrong with the packed package', async () => {
  const out = await tool('publint/src/cli.js', 'run', tarball, '--strict')
  assert.match(out, /All good/)
})

test('every entry point of the packed package has types that an ES module sees', async () => {
  // It ends with 1 for a problem; a require() that meets an ES module is none here, and it says so.
  const out = await tool('@arethetypeswrong/cli/dist/index.js', tarball, '--profile', 'esm-only', '--no-emoji')
  for (const path of Object.keys(manifest.exports)) assert.ok(out.includes(`"${path.replace(/^\./, manifest.name)}"`), out)
})

test('the package holds what its manifest names, and nothing of the workshop', () => {
  const named = [
    ...Object.values(manifest.bin),
    ...Object.values(manifest.exports).flatMap((target) => typeof target === 'string' ? target : Object.values(target)),
    'LICENSE', 'README.md', 'CHANGELOG.md', 'docs/errors.md', 'docs/events.md',
  ].map((path) => path.replace(/^\.\//, ''))
  assert.deepEqual(named.filter((path) => !paths.includes(path)), [])
  const strange = paths.filter((path) => !/^(dist\/|docs\/|package\.json$|README\.md$|LICENSE$|CHANGELOG\.md$)/.test(path))
  assert.deepEqual(strange, [])
})

test('the command starts with a line that lets a shell run it', () => {
  for (const path of Object.values(manifest.bin)) {
    assert.match(readFileSync(path, 'utf8'), /^#!\/usr\/bin\/env node\n/)
    assert.ok(statSync(path).isFile())
  }
})

test('importing the package starts nothing: no timer, no handle, no output', async () => {
  const script = `await import(${JSON.stringify(manifest.name)}); console.log(JSON.stringify(process.getActiveResourcesInfo()))`
  const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '--eval', script], { cwd: root })
  const resources = (JSON.parse(stdout) as string[]).filter((name) => !/^(PipeWrap|TTYWrap|FSReqPromise|CloseReq)$/.test(name))
  assert.deepEqual({ resources, stderr }, { resources: [], stderr: '' })
})

test('the lock file is in step with the manifest', () => {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Record<string, Record<string, unknown>> }
  const whole = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, unknown>
  for (const field of ['name', 'version', 'dependencies', 'optionalDependencies', 'devDependencies', 'bin', 'engines']) {
    assert.deepEqual(lock.packages['']?.[field], whole[field], field)
  }
})

for (const file of ['package-lock.json', 'test/frameworks/apps/package-lock.json']) {
  test(`${file} holds every platform's optional packages, and no registry's address`, () => {
    const text = readFileSync(file, 'utf8')
    assert.doesNotMatch(text, /"resolved"/)
    const { packages } = JSON.parse(text) as { packages: Record<string, { readonly optionalDependencies?: object }> }
    // `npm ci` refuses a lock that was made where a platform's package could not be found.
    const missing = Object.entries(packages).flatMap(([holder, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) => !isLocked(packages, holder, name)))
    assert.deepEqual(missing, [])
  })
}

/** Whether a package finds `name` in its own folder or in one above it. */
function isLocked(packages: object, holder: string, name: string): boolean {
  for (let folder = holder; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (Object.hasOwn(packages, `${folder === '' ? '' : `${folder}/`}node_modules/${name}`)) return true
    if (folder === '') return false
  }
}
