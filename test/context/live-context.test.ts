import { test } from 'node:test'
import assert from 'node:assert/strict'
import { PieceMemory } from '../../src/wire/piece-memory.ts'
import { LiveContext } from '../../src/context/live-context.ts'
import { subscribe } from '../../src/events.ts'
import { Scoreboard } from '../../src/wire/scoreboard.ts'
import { Kind, PROTOCOL_VERSION } from '../../src/wire/frames.ts'
import { FakeClock, settle } from '../group/fake-clock.ts'
import { specOf } from './start.ts'
import type { TestContext } from 'node:test'
import type { Vessel, VesselListener } from '../../src/context/vessel.ts'
import type { EventPayloads } from '../../src/events.ts'

/** What runs nothing: a test says what it sends and when it ends. */
class EmptyVessel implements Vessel {
  readonly carrier = { movesMemory: false, memory: new PieceMemory(), post() {}, close() {} }
  readonly scoreboard = new Scoreboard()
  readonly listener: VesselListener
  ends = 0

  constructor(listener: VesselListener) {
    this.listener = listener
  }
  cpuTime(): number { return 0 }
  handOver(): boolean { return false }
  ref(): void {}
  unref(): void {}
  end(): void { this.ends++ }

  becomeReady(): void {
    this.listener.onBatch([Kind.HELLO, PROTOCOL_VERSION])
    this.listener.onBatch([Kind.READY, []])
  }
}

function open(t: TestContext) {
  const clock = new FakeClock()
  const vessels: EmptyVessel[] = []
  const exits: EventPayloads['tenantry:context:exit'][] = []
  t.after(subscribe('tenantry:context:exit', (exit) => void exits.push(exit)))
  const spec = specOf('/apps/a.js', { limits: { startupTimeout: 5000, terminateTimeout: 2000 } })
  const context = new LiveContext(spec, clock, (listener) => {
    const vessel = new EmptyVessel(listener)
    vessels.push(vessel)
    return vessel
  })
  return { clock, context, exits, vessel: vessels[0] as EmptyVessel }
}

test('a context that is not ready when startupTimeout is over is ended, and one that is ready is left alone', async (t) => {
  const { clock, context, vessel } = open(t)
  await clock.pass(4999)
  assert.equal(vessel.ends, 0)
  await clock.pass(1)
  await assert.rejects(context.ready, { code: 'ERR_START_TIMEOUT' })
  assert.equal(vessel.ends, 1)
  vessel.listener.onExit(1, undefined)
  const { reason, terminated } = await context.ended
  assert.deepEqual([reason, terminated, clock.timers], ['startup', true, 0])

  const quick = open(t)
  quick.vessel.becomeReady()
  await quick.context.ready
  await quick.clock.pass(60_000)
  assert.deepEqual([quick.vessel.ends, quick.context.state], [0, 'serving'])
})

test('what outlives terminateTimeout is a zombie, told once and never waited for', async (t) => {
  const { clock, context, vessel, exits } = open(t)
  vessel.becomeReady()
  await context.ready
  const ended = context.terminate('deadlock')
  await clock.pass(1999)
  assert.deepEqual([context.state, exits.length], ['serving', 0])
  await clock.pass(1)
  const { reason, zombie, exitCode } = await ended
  assert.deepEqual([reason, zombie, exitCode, context.state], ['deadlock', true, null, 'zombie'])
  assert.deepEqual(exits.map((exit) => [exit.contextId, exit.reason]), [[context.id, 'deadlock']])
  vessel.listener.onExit(1, undefined)
  await settle()
  assert.equal(context.state, 'exited')
  assert.equal(exits.length, 1)
})

test('a violation of the protocol condemns the context before it ends, and it reads nothing more', async (t) => {
  const { context, vessel } = open(t)
  vessel.becomeReady()
  await context.ready
  const heard: string[] = []
  context.onCondemned = (reason) => void heard.push(reason)
  vessel.listener.onBatch(['nonsense'])
  vessel.listener.onBatch(['more of it'])
  assert.deepEqual([heard, vessel.ends], [['protocol'], 1])
  vessel.listener.onExit(1, undefined)
  assert.equal((await context.ended).reason, 'protocol')
})
