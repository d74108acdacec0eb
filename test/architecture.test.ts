import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { folderOf, readImports, readTree, reachable } from './source-tree.ts'

/** Files at the root of src/ that every layer may share; the others there compose the layers and stand above them. */
const SHARED = ['errors.ts', 'state.ts', 'events.ts', 'clock.ts', 'units.ts', 'nearest.ts']

interface Rule {
  /** Folders, or single files of a folder, that may be loaded at run time. */
  readonly values: readonly string[]
  /** Folders and files of which only types may be imported: they are erased. */
  readonly types: readonly string[]
  /** Files of the root, where these are not the shared ones; 'all' for those who stand above. */
  readonly root?: readonly string[] | 'all'
}

/** The house, in one table: what each folder may import from elsewhere in src/. */
const TABLE: Readonly<Record<string, Rule>> = {
  label: { values: [], types: [], root: ['errors.ts', 'nearest.ts'] },
  wire: { values: [], types: [] },
  // What one connection is held to, in the front and in a context: loaded by both, so nothing from npm.
  connection: { values: [], types: [], root: ['clock.ts', 'errors.ts', 'events.ts'] },
  // The root's files are for what a context loads with its first handed connection; the budget below keeps them from the rest.
  tenant: { values: ['connection', 'wire'], types: [], root: ['clock.ts', 'errors.ts'] },
  context: { values: ['wire'], types: [] },
  daemon: { values: ['context', 'tenant', 'wire'], types: [] },
  // The factory of contexts is passed in, so that groups run in tests without a thread; health.ts is a pure judgement.
  group: { values: ['label', 'context/health.ts'], types: ['context'] },
  http: { values: ['connection', 'group', 'label', 'wire'], types: ['context', 'runtime.ts'] },
  ops: { values: [], types: ['context', 'group'] },
  // The bare server calls an application as a context does; a contender is the command itself, in a process of its own.
  bench: { values: ['tenant', 'group/folder-entry.ts'], types: ['wire'] },
  cli: { values: ['bench', 'ops'], types: [], root: 'all' },
}

/** Each npm package, and the files that may import it: a folder, a file, or a file of the root. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  tinypool: ['context/thread.ts'],
  'lru-cache': ['group/', 'http/', 'ops/'],
  pino: ['ops/', 'cli/', 'runtime.ts'],
  'pino-pretty': ['ops/', 'cli/'],
  ms: ['units.ts'],
  bytes: ['units.ts'],
  valibot: ['options.ts', 'option-spec.ts', 'option-table.ts', 'process-group-options.ts', 'group/'],
  commander: ['cli/'],
  '@fastify/proxy-addr': ['label/', 'http/'],
}

/** Frameworks are the caller's: only their own adapter may name them, and only as types. */
const FRAMEWORKS = ['fastify', 'koa', 'hono', '@hono/node-server', 'express', 'fastify-plugin']

/** What every tenant pays for: modules and bytes of source that a fresh context loads. Tighten, never loosen lightly. */
const BOOT_BUDGET = { modules: 26, bytes: 105_500 }

/** What a context loads later, or not: the way to its front in a daemon, a spare's rehearsal, and for handed connections, plain or TLS. */
const LATE = ['tenant/front-link.ts', 'tenant/rehearsal.ts', 'tenant/handed-server.ts', 'tenant/handed-tls.ts']

/** What the first handed connection loads besides: every cold start on the hand-off lane pays for it. */
const HANDED_BUDGET = { modules: 16, bytes: 62_000 }
/** And the first one over TLS. */
const SECURED_BUDGET = { modules: 2, bytes: 5_000 }

const files = readTree('src')
const folders = Object.keys(TABLE)

function packageName(specifier: string): string {
  return specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

test('imports point down: every folder imports only what the table allows', () => {
  const wrong: string[] = []
  for (const { path, imports } of files) {
    const from = folderOf(path)
    const rule = TABLE[from]
    if (rule === undefined) continue
    for (const { target, types, specifier } of imports) {
      if (target === undefined) continue
      const to = folderOf(target)
      const named = (list: readonly string[]): boolean => list.includes(to) || list.includes(target)
      const shared = rule.root ?? SHARED
      const allowed = to === from
        || (to === 'root' && (shared === 'all' || shared.includes(target)))
        || named(rule.values)
        || (types && named(rule.types))
      if (!allowed) wrong.push(`${path} imports ${types ? 'types of ' : ''}${specifier}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('every import of an own file names a file that exists, with its ending', () => {
  const known = new Set(files.map((file) => file.path))
  const lost = files.flatMap(({ path, imports }) => imports
    .filter(({ target }) => target !== undefined && !known.has(target))
    .map(({ specifier }) => `${path} imports ${specifier}`))
  assert.deepEqual(lost, [])
})

test('there is no folder outside the table, no third level, and no drawer for odds and ends', () => {
  const strange = files.map(({ path }) => path).filter((path) =>
    (path.includes('/') && !folders.includes(folderOf(path)))
    || path.split('/').length > 2
    || /(^|[/.-])(utils?|helpers?|common|types|misc|shared)([/.-])/.test(path))
  assert.deepEqual(strange, [])
})

test('no file re-exports a folder except the public surface', () => {
  const barrels = files.filter(({ path, text }) => path !== 'index.ts' && /^export\s+\*\s+from/m.test(text))
  assert.deepEqual(barrels.map(({ path }) => path), [])
})

test('folders do not import each other in a circle', () => {
  const edges = new Map(folders.map((folder) => [folder, new Set<string>()]))
  for (const { path, imports } of files) {
    for (const { target, types } of imports) {
      if (target === undefined || types) continue
      const [from, to] = [folderOf(path), folderOf(target)]
      if (from !== to && to !== 'root') edges.get(from)?.add(to)
    }
  }
  const circles: string[] = []
  const walk = (folder: string, way: readonly string[]): void => {
    if (way.includes(folder)) circles.push([...way, folder].join(' → '))
    else for (const next of edges.get(folder) ?? []) walk(next, [...way, folder])
  }
  for (const folder of folders) walk(folder, [])
  assert.deepEqual(circles, [])
})

test('no file of a folder imports another in a circle, not even for its types', () => {
  const edges = new Map(files.filter(({ path }) => folderOf(path) !== 'root').map(({ path, imports }) =>
    [path, imports.flatMap(({ target }) => target ?? [])]))
  const circles: string[] = []
  const done = new Set<string>()
  const walk = (file: string, way: readonly string[]): void => {
    if (way.includes(file)) circles.push([...way, file].join(' → '))
    else if (!done.has(file)) for (const next of edges.get(file) ?? []) walk(next, [...way, file])
    done.add(file)
  }
  for (const file of edges.keys()) walk(file, [])
  assert.deepEqual(circles, [])
})

test('an npm package is imported only where the table says, and a framework only by its adapter', () => {
  const wrong: string[] = []
  for (const { path, imports } of files) {
    for (const { specifier, target, types } of imports) {
      if (target !== undefined || isBuiltin(specifier)) continue
      const name = packageName(specifier)
      const places = PACKAGES[name] ?? []
      const allowed = FRAMEWORKS.includes(name)
        ? types && path.startsWith('http/')
        : types || places.some((place) => place === path || (place.endsWith('/') && path.startsWith(place)))
      if (!allowed) wrong.push(`${path} imports ${specifier}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('every dependency in package.json is used by the code, and everything the code loads is a dependency', () => {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> }
  const used = new Set(files.flatMap(({ imports }) => imports
    .filter(({ target, specifier, types }) => !types && target === undefined && !isBuiltin(specifier))
    .map(({ specifier }) => packageName(specifier))))
  // pino loads pino-pretty by its name, as the target of a transport.
  if (files.some(({ text }) => text.includes("'pino-pretty'"))) used.add('pino-pretty')
  assert.deepEqual([...used].sort(), Object.keys(manifest.dependencies).sort())
})

test('every optional dependency is looked for by one file, when it is needed, and nothing else of the code names it', () => {
  const { optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { optionalDependencies: Record<string, string> }
  const seekers = (name: string): string[] => files.filter(({ text }) => text.includes(`require('${name}')`)).map(({ path }) => path)
  assert.deepEqual(Object.keys(optionalDependencies).map((name) => [name, seekers(name)]), [
    ['koffi', ['context/descriptors.ts']],
  ])
})

test('built-in modules are written with node:', () => {
  const bare = files.flatMap(({ path, imports }) => imports
    .filter(({ specifier }) => isBuiltin(specifier) && !specifier.startsWith('node:'))
    .map(({ specifier }) => `${path} imports ${specifier}`))
  assert.deepEqual(bare, [])
})

test('the wire knows neither HTTP servers nor workers', () => {
  const wrong = files.filter(({ path }) => path.startsWith('wire/')).flatMap(({ path, imports }) => imports
    .filter(({ specifier, types }) => !types && /^node:(https?|http2|net|tls|worker_threads|cluster|child_process)$/.test(specifier))
    .map(({ specifier }) => `${path} imports ${specifier}`))
  assert.deepEqual(wrong, [])
})

const boot = reachable(files.filter(({ path }) => !LATE.includes(path)), 'tenant/boot.ts')
const handed = reachable(files.filter(({ path }) => path !== 'tenant/handed-tls.ts'), 'tenant/handed-server.ts')
  .filter((file) => !boot.includes(file))
const secured = reachable(files, 'tenant/handed-tls.ts').filter((file) => !boot.includes(file) && !handed.includes(file))

for (const [what, loaded, budget, folders] of [
  ['a fresh context', boot, BOOT_BUDGET, ['tenant', 'wire', 'root']],
  ['the first handed connection of a context', handed, HANDED_BUDGET, ['connection', 'tenant', 'wire', 'root']],
  ['the first handed connection over TLS', secured, SECURED_BUDGET, ['connection', 'tenant', 'wire', 'root']],
] as const) {
  test(`${what} loads little, nothing from npm, and nothing of the front`, () => {
    assert.ok(loaded.length > 1, 'there is what a context loads first')
    const npm = loaded.flatMap(({ path, imports }) => imports
      .filter(({ target, types, specifier }) => target === undefined && !types && !isBuiltin(specifier))
      .map(({ specifier }) => `${path} imports ${specifier}`))
    assert.deepEqual(npm, [])
    const front = loaded.filter(({ path }) => !(folders as readonly string[]).includes(folderOf(path)))
    assert.deepEqual(front.map(({ path }) => path), [])
    // What an import of these loads: undici, fs.promises, the standard streams. See tenant/node-internals.ts.
    const heavy = ['node:http', 'node:fs', 'node:process']
    const dear = loaded.filter(({ imports }) => imports.some(({ specifier, types }) => !types && heavy.includes(specifier)))
    assert.deepEqual(dear.map(({ path }) => path), [])
    const bytes = loaded.reduce((sum, file) => sum + file.bytes, 0)
    const shown = loaded.map((file) => `${file.path} ${file.bytes}`).join('\n')
    assert.ok(loaded.length <= budget.modules, `${loaded.length} modules:\n${shown}`)
    assert.ok(bytes <= budget.bytes, `${bytes} bytes of source:\n${shown}`)
  })
}

test('the reader of imports sees every form that the code uses', () => {
  const text = [
    "import a from './a.ts'",
    "import type { B } from '../wire/b.ts'",
    "import {\n  c,\n  type D,\n} from 'node:fs'",
    "import './e.ts'",
    "export { f } from './f.ts'",
    "export type { G } from './g.ts'",
    "const h = await import('pino')",
    "// import i from './i.ts'",
    "/** import j from './j.ts' */",
  ].join('\n')
  assert.deepEqual(readImports('http/x.ts', text).map(({ specifier, types }) => [specifier, types]), [
    ['./a.ts', false], ['../wire/b.ts', true], ['node:fs', false], ['./e.ts', false],
    ['./f.ts', false], ['./g.ts', true], ['pino', false],
  ])
})

test('lint and this table say the same about every pair of folders', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'tenantry-lint-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  // The rules per folder alone: types are not needed for them, and the type-aware part would want a whole project.
  const { plugins, overrides } = JSON.parse(readFileSync('.oxlintrc.json', 'utf8')) as Record<string, unknown>
  writeFileSync(join(dir, '.oxlintrc.json'), JSON.stringify({ plugins, overrides }))
  const forms = [['values', "export { x } from '../TO'\n"], ['types', "export type { x } from '../TO'\n"]] as const
  const expected: string[] = []
  for (const from of folders) {
    mkdirSync(join(dir, 'src', from), { recursive: true })
    for (const to of [...folders.map((folder) => `${folder}/x.ts`), 'context/health.ts']) {
      for (const [form, text] of forms) {
        const file = `src/${from}/${to.replace(/\W/g, '-')}-${form}.ts`
        writeFileSync(join(dir, file), text.replace('TO', to))
        const rule = TABLE[from]
        const named = (list: readonly string[] = []): boolean => list.includes(folderOf(to)) || list.includes(to)
        const allowed = from === folderOf(to) || named(rule?.values) || (form === 'types' && named(rule?.types))
        if (!allowed) expected.push(file)
      }
    }
  }
  const result = lint(dir)
  const complaints = [...new Set(result.map((line) => line.filename.split('\\').join('/')))].sort()
  assert.deepEqual(complaints, expected.sort())
})

interface Diagnostic { readonly filename: string; readonly code: string }

/** Runs oxlint with the project's rules over another folder; only the restricted imports count here. */
function lint(dir: string): Diagnostic[] {
  const oxlint = join(process.cwd(), 'node_modules', 'oxlint', 'bin', 'oxlint')
  let out: string
  try {
    out = execFileSync(process.execPath, [oxlint, '--format=json'], { cwd: dir, encoding: 'utf8' })
  } catch (error) {
    out = (error as { stdout: string }).stdout
  }
  const { diagnostics } = JSON.parse(out) as { diagnostics: Diagnostic[] }
  return diagnostics.filter(({ code }) => code.includes('no-restricted-imports'))
}
