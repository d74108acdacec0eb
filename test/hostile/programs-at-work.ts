import { after, test } from 'node:test'
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { openDescriptors } from '../../src/context/descriptors.ts'
import { eventually } from '../behaviour/client.ts'
import { Load, NEIGHBOURS } from './load.ts'
import { attack, openPrison } from './prison.ts'
import { GONE, moduleOf, PROGRAMS } from './programs.ts'
import type { TestContext } from 'node:test'
import type { Prison, PrisonLane } from './prison.ts'
import type { Outcome, Program } from './programs.ts'

/** For the attacker's own answer; the limits of the prison are shorter. */
const PATIENCE = 6000

/** How long the neighbours are watched after the attacker has its answer. */
const AFTERMATH = 600

/** A tenant that failed is started again after so long at the latest. */
const BACK_OFF = 3000

/** Where tenants run: in threads of the command itself; or the bad one in a daemon, and its neighbours in another. */
export type Tier = 'thread' | 'daemon'

const WORDS = { relay: 'relayed', handoff: 'handed over' } as const

/** Of descriptors, FIFOs and /proc only Linux has all. */
const noLinux = process.platform !== 'linux'

interface Scene {
  readonly prison: Prison
  readonly load: Load
  /** p99 of the neighbours while nobody attacks, milliseconds. */
  readonly calm: number
}

/**
 * Every program as a test, half of them on each lane, and the other half in the other tier: of each kind there are some in
 * both tiers on both lanes.
 */
export function testPrograms(tier: Tier): void {
  for (const lane of ['relay', 'handoff'] as const) {
    const first = (tier === 'thread') === (lane === 'relay') ? 0 : 1
    testOnLane(tier, lane, [...PROGRAMS.entries()].filter(([index]) => index % 2 === first))
  }
}

/** Attacks in one house after another, a new one after each damage. */
function testOnLane(tier: Tier, lane: PrisonLane, programs: readonly (readonly [number, Program])[]): void {
  const skip = noLinux || (lane === 'handoff' && openDescriptors() === undefined)
  let folder: string | undefined
  let scene: Promise<Scene> | undefined

  after(async () => {
    await leave()
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  })

  /** A house with two healthy tenants under load, used until an attack damages it. */
  async function enter(): Promise<Scene> {
    folder ??= await writeTenants(tier)
    const prison = await openPrison(path.join(folder, 'tenantry.json'), lane)
    const load = new Load(prison.port)
    await sleep(1000)
    load.begin()
    await sleep(2000)
    assert.deepEqual(load.failures, [], 'the neighbours are well before anybody attacks')
    return { prison, load, calm: load.p99 }
  }

  async function leave(): Promise<void> {
    const old = await scene
    scene = undefined
    await old?.load.stop()
    await old?.prison.kill()
  }

  for (const [index, program] of programs) {
    const { name } = program
    const { outcome, client, ends, dies } = expected(program, tier, lane)
    void test(`${outcome}, ${WORDS[lane]}: ${name}`, { skip }, async (t) => {
      // A crowded machine may delay anybody once; a promise that is broken twice in a row is broken.
      const first = await attempt(t, index)
      if (first === undefined || first.p99 <= first.bound) return
      await sleep(BACK_OFF)
      const second = await attempt(t, index)
      assert.ok(second !== undefined && second.p99 <= second.bound, `p99 twice above the bound: ${JSON.stringify([first, second])}`)
    })

    /** One attack, watched; undefined when there are no neighbours left to speak of. */
    async function attempt(t: TestContext, at: number): Promise<{ p99: number; bound: number } | undefined> {
      scene ??= enter()
      const { prison, load, calm } = await scene
      load.begin()
      const logged = prison.log.length
      const got = await attack(prison.port, hostOf(at), PATIENCE)
      await sleep(AFTERMATH)
      const own = (label: unknown): boolean => String(label).startsWith(`${hostOf(at)}:`)
      const said = (text: string): boolean => prison.log.slice(logged).some(({ msg, label }) => own(label) && msg.includes(text))
      // A context that was told to end is gone, or is known to stay, before the next attack.
      if (ends) {
        await eventually('the context ended', () => !prison.alive() || said('context ended') || said('as a zombie'), 15_000)
      }
      const failures = [...load.failures]
      if (outcome === 'contained, felt') {
        load.begin()
        await sleep(AFTERMATH)
        assert.deepEqual([prison.alive(), load.failures], [true, []], 'the neighbours are well again')
        assert.ok(client.includes(got), `the client got ${got}, not ${client.join(' or ')}`)
        return undefined
      }
      const harmed = !prison.alive() || failures.length > 0
      const isZombie = said('as a zombie')
      const seen: Outcome = harmed ? 'process lost' : isZombie && tier === 'thread' ? 'contained, zombie' : 'contained'
      const { p99, requests } = load
      t.diagnostic(`client: ${got}; neighbours: ${requests} requests, p99 ${p99.toFixed(1)} ms, calm ${calm.toFixed(1)} ms`)
      // A daemon that died a moment ago is started more slowly each time.
      if (seen !== 'contained' || isZombie || dies) await leave()
      assert.equal(seen, outcome, failures.slice(0, 3).join('; '))
      assert.ok(client.includes(got), `the client got ${got}, not ${client.join(' or ')}`)
      return seen === 'process lost' ? undefined : { p99, bound: Math.max(100, calm * 3) }
    }
  }
}

/** What a program comes to; whether its context ends, or its process. A daemon keeps from the neighbours what a thread cannot. */
function expected({ outcome, client, inDaemon, handedOver }: Program, tier: Tier, lane: PrisonLane): {
  readonly outcome: Outcome
  readonly client: readonly string[]
  readonly ends: boolean
  readonly dies: boolean
} {
  const relayed = (tier === 'thread' ? client : inDaemon ?? client).split(' or ')
  const handed = handedOver === undefined ? relayed.map((one) => one.startsWith('502') ? GONE : one) : [handedOver]
  return {
    outcome: tier === 'thread' ? outcome : 'contained',
    client: lane === 'relay' ? relayed : handed,
    ends: relayed.some((one) => /502|START/.test(one)) && (lane === 'relay' || handedOver === undefined),
    dies: relayed.some((one) => /DAEMON/.test(one) || one === GONE),
  }
}

/** A folder of tenants with the settings beside it, which say where they run. */
async function writeTenants(tier: Tier): Promise<string> {
  const base = await mkdtemp(path.join(tmpdir(), 'tenantry-hostile-'))
  const write = async (host: string, text: string, processGroup: string): Promise<void> => {
    const own = path.join(base, 'tenants', host)
    await mkdir(own, { recursive: true })
    await writeFile(path.join(own, 'index.mjs'), text)
    const settings = tier === 'thread' ? {} : { processGroup }
    await writeFile(path.join(own, 'tenant.json'), JSON.stringify({ entry: 'index.mjs', ...settings }))
  }
  await Promise.all([
    ...Object.entries(NEIGHBOURS).map(async ([host, text]) => await write(host, text, 'good')),
    ...PROGRAMS.map(async (program, index) => await write(hostOf(index), moduleOf(program), 'bad')),
  ])
  const where = tier === 'thread' ? { processes: 0 } : { processGroups: { good: {}, bad: {} } }
  await writeFile(path.join(base, 'tenantry.json'), JSON.stringify({ tenants: 'tenants', ...where }))
  return base
}

function hostOf(index: number): string {
  return `p${index}.test`
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
