// One table of hosts, measured in a process of its own: node --expose-gc lookup-table.mjs SOURCE HOSTS; prints JSON.
import { Buffer } from 'node:buffer'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createAllowList } from '../dist/label/allow.js'
import { resolveOptions } from '../dist/options.js'
import { openDirectory, openResolver } from '../dist/resolving.js'
import { spread } from './figures.mjs'

const ENTRY = fileURLToPath(new URL('servers/app.mjs', import.meta.url))
/** Every tenth is a wildcard. */
const WILDCARD_EVERY = 10
/** Different hosts that are asked for: what a process with few contexts sees, and with many. */
const ASKED = { few: 10, many: 1000 }
const BATCH = 1000
const BATCHES = 300

const [kind, text] = process.argv.slice(2)
const hosts = Number(text)
const names = Array.from({ length: hosts }, (_, index) => nameOf(index))
const root = kind === 'folder' ? makeFolder() : undefined
try {
  process.stdout.write(JSON.stringify(await (kind === 'allow list' ? ofList() : ofSource())))
} finally {
  if (root !== undefined) rmSync(root, { recursive: true, force: true })
}

async function ofSource() {
  const tenants = root ?? sourceOf(kind)
  const before = heap()
  const [build, directory] = timed(() => openDirectory(resolveOptions({ tenants })))
  const resolver = openResolver(directory, resolveOptions({ tenants }))
  const memory = (heap() - before) / hosts
  return { build, memory, ...lookUps((facts) => pathOf(resolver, facts)), ...await refresh(directory) }
}

async function ofList() {
  const before = heap()
  const [build, list] = timed(() => createAllowList(names))
  const memory = (heap() - before) / hosts
  return await Promise.resolve({ build, memory, ...lookUps(({ host }) => list.match(host)) })
}

/** What the front asks for each request; a refusal costs its error as well, which is not the table's. */
function pathOf(resolver, facts) {
  return resolver.ruleOf(facts.host) === undefined ? undefined : resolver.resolve(facts, undefined)
}

function lookUps(look) {
  const exact = pick((index) => !isWildcard(index)).map(nameOf)
  const below = pick(isWildcard).map((index) => `shop.${nameOf(index).slice(2)}`)
  const unknown = exact.map((host) => `no-${host}`)
  return {
    few: nanoseconds(look, exact.slice(0, ASKED.few), true),
    many: nanoseconds(look, exact, true),
    wildcard: nanoseconds(look, below, true),
    unknown: nanoseconds(look, unknown, false),
  }
}

/** Hosts all over the table. */
function pick(isOne) {
  const all = names.flatMap((_, index) => isOne(index) ? [index] : [])
  const step = Math.max(1, Math.floor(all.length / ASKED.many))
  return all.filter((_, index) => index % step === 0).slice(0, ASKED.many)
}

/** Each look-up has text of its own, as from a socket: nothing has hashed or compared it before. */
function nanoseconds(look, asked, isThere) {
  const bytes = asked.map((host) => Buffer.from(host))
  const figures = []
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const facts = Array.from({ length: BATCH }, (_, index) => {
      const host = bytes[(batch * BATCH + index) % bytes.length].latin1Slice()
      return { host, hostPort: undefined, acceptingPort: 80, method: 'GET', url: '/', rawHeaders: [] }
    })
    let found = 0
    const [milliseconds] = timed(() => {
      for (const one of facts) if (look(one) !== undefined) found += 1
    })
    if (found !== (isThere ? BATCH : 0)) throw new Error(`${found} of ${BATCH} found`)
    figures.push((milliseconds * 1e6) / BATCH)
  }
  // The first ones compile.
  return spread(figures.slice(BATCHES / 3)).median
}

/** How long reading again takes, and the longest that the event loop waits meanwhile. */
async function refresh(directory) {
  let over = false
  let pause = 0
  const since = performance.now()
  const refreshed = directory.refresh().finally(() => {
    over = true
  })
  for (let last = since; !over;) {
    await setImmediate()
    const now = performance.now()
    pause = Math.max(pause, now - last)
    last = now
  }
  await refreshed
  return { refresh: performance.now() - since, pause }
}

function sourceOf(source) {
  const entries = names.map((name) => [name, ENTRY])
  if (source === 'Map') return new Map(entries)
  if (source === 'object') return Object.fromEntries(entries)
  // A value of its own for each host: nothing of it can be shared.
  if (source === 'Map of settings') return new Map(names.map((name) => [name, { entry: ENTRY, env: { SITE: name } }]))
  throw new Error(`no such source: ${source}`)
}

function makeFolder() {
  const folder = mkdtempSync(path.join(tmpdir(), 'tenantry-lookup-'))
  for (const name of names) {
    mkdirSync(path.join(folder, name))
    writeFileSync(path.join(folder, name, 'server.mjs'), 'export default (request, response) => response.end()\n')
  }
  return folder
}

/** As read from a file: one piece of text, not several put together. */
function nameOf(index) {
  return Buffer.from(isWildcard(index) ? `*.w${index}.example.test` : `host-${index}.example.test`).latin1Slice()
}

function isWildcard(index) {
  return index % WILDCARD_EVERY === WILDCARD_EVERY - 1
}

function timed(run) {
  const since = performance.now()
  const result = run()
  return [performance.now() - since, result]
}

function heap() {
  globalThis.gc()
  return process.memoryUsage().heapUsed
}
