import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { listContenders } from '../bench/contenders.ts'
import { htmlReport } from '../bench/html-report.ts'
import { measure, roundTime, type Plan, type Progress } from '../bench/measure.ts'
import type { Stage } from '../bench/served.ts'
import { findSubject } from '../bench/subject.ts'
import { summarise, type Summary } from '../bench/summary.ts'
import { textReport } from '../bench/text-report.ts'
import { TenantryError } from '../errors.ts'
import { formatDuration } from '../units.ts'
import type { BenchFlags } from './bench-flags.ts'
import { EXIT, type Outcome, type World } from './world.ts'

/** Ctrl-C, a process manager, and a terminal that was closed. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Measures one application behind node:http and behind every lane and tier. */
export async function bench(target: string, flags: BenchFlags, world: World): Promise<Outcome> {
  const abort = new AbortController()
  let signalled: NodeJS.Signals | undefined
  const listeners = SIGNALS.map((signal) => [signal, () => {
    signalled ??= signal
    abort.abort(new TenantryError('ERR_BENCH', `${signal}: stopped, and every process that it started has ended`))
  }] as const)
  for (const [signal, listener] of listeners) world.signals.on(signal, listener)
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tenantry-bench-'))
  const line = new ProgressLine(world, flags.quiet)
  try {
    const loadAverageBefore = os.loadavg()[0] ?? 0
    const plan = await planOf(target, flags, folder, world)
    const measured = await measure(plan, line.show(plan), abort.signal)
    line.clear()
    const { entry } = plan.stage.load.mounts[0] as { entry: string }
    write(summarise(plan, measured, { version: world.version, entry, date: new Date(), loadAverageBefore }), flags, world)
    return { code: EXIT.clean, stuck: false }
  } catch (error) {
    line.clear()
    // Wrong usage is the program's to tell.
    if (!(error instanceof TenantryError) || error.code !== 'ERR_BENCH') throw error
    world.stderr.write(`tenantry: ${error.message}\n`)
    const code = signalled === undefined ? EXIT.failed : EXIT.signal + os.constants.signals[signalled]
    return { code, stuck: false }
  } finally {
    for (const [signal, listener] of listeners) world.signals.off(signal, listener)
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The application as `serve` would have it: its settings are checked by who checks them there. */
async function planOf(target: string, flags: BenchFlags, folder: string, world: World): Promise<Plan> {
  const { entry, directory, tenant } = findSubject(target, world.cwd)
  const { host } = flags.requests[0] as BenchFlags['requests'][number]
  // A group without a port in its name: an application that shows its name shows the same one in every row.
  const tenants = { [host]: { ...tenant, applicationGroup: host } }
  const { tenants: described, problems } = await world.describe({ tenants, logger: false }, 80)
  const [problem] = problems
  if (problem !== undefined) throw new TenantryError('ERR_CONFIG', `${problem.pattern}: ${problem.message}`)
  const config = path.join(folder, 'tenantry.json')
  writeFileSync(config, JSON.stringify({ tenants }))
  const { env, preload = [] } = tenant as { env?: Record<string, string>; preload?: string | string[] }
  const stage: Stage = {
    program: world.program,
    config,
    host,
    directory,
    env: { ...env, TENANTRY_APPLICATION_GROUP: host, TENANTRY_PROCESS_GROUP: '' },
    load: {
      mounts: [{ path: '', entry }],
      kind: described?.[0]?.kind ?? 'auto',
      preload: typeof preload === 'string' ? [preload] : preload,
      directory,
      label: host,
    },
  }
  const { requests, connections, duration, rounds, compare } = flags
  return { contenders: listContenders(), stage, requests, connections, duration, rounds, compare }
}

function write(summary: Summary, { json, html }: BenchFlags, world: World): void {
  const text = `${JSON.stringify(summary, null, 2)}\n`
  if (typeof json === 'string') writeFileSync(json, text)
  if (html !== undefined) writeFileSync(html, htmlReport(summary))
  world.stdout.write(json === true ? text : textReport(summary))
}

/** How far it is, on stderr: one line that is written again on a terminal, else a line for each step. */
class ProgressLine {
  readonly #world: World
  readonly #quiet: boolean

  constructor(world: World, quiet: boolean) {
    this.#world = world
    this.#quiet = quiet
  }

  show({ contenders, duration, rounds }: Plan): Progress {
    const estimate = (steps: number): string =>
      formatDuration(Math.ceil((Math.min(steps, contenders.length * rounds) * roundTime(duration)) / 1000) * 1000)
    return (step, steps, text) => this.#write(`[${step}/${steps}] ${text}; about ${estimate(steps - step + 1)} left`)
  }

  clear(): void {
    if (!this.#quiet && this.#world.stderr.isTTY === true) this.#world.stderr.write('\r\x1b[K')
  }

  #write(text: string): void {
    if (this.#quiet) return
    const { stderr } = this.#world
    if (stderr.isTTY === true) stderr.write(`\r\x1b[K${text}`)
    else stderr.write(`${text}\n`)
  }
}
