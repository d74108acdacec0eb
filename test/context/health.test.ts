import { test } from 'node:test'
import assert from 'node:assert/strict'
import { judge } from '../../src/context/health.ts'
import type { HealthLimits, HealthTimes, Verdict } from '../../src/context/health.ts'
import type { ScoreboardSnapshot } from '../../src/wire/scoreboard.ts'

const QUIET: ScoreboardSnapshot = {
  heartbeat: 0, inFlight: 0, served: 0, connections: 0, lastActivity: 0, bytesIn: 0, bytesOut: 0, heapUsed: 0, external: 0, threadId: 0,
  handedConnections: 0, handedInFlight: 0, handedServed: 0, handedOpened: 0, handedQueued: 0, handedLost: 0, trims: 0,
}
const LIMITS: HealthLimits = { memoryLimit: 1000, cpuTimeLimit: 2000, deadlockTimeout: 500, maxRequests: 10, maxAge: 9000, idleTimeout: 3000 }
const TIMES: HealthTimes = { age: 0, cpu: 0, idle: 0, silent: 0 }

function verdict(snapshot: Partial<ScoreboardSnapshot>, times: Partial<HealthTimes> = {}, limits: Partial<HealthLimits> = {}): Verdict {
  return judge({ ...QUIET, ...snapshot }, { ...LIMITS, ...limits }, { ...TIMES, ...times })
}

test('a context within its limits is left alone', () => {
  assert.deepEqual(verdict({ heapUsed: 600, external: 400, served: 9 }, { age: 8999, idle: 2999, silent: 500 }), { do: 'keep' })
})

test('heap and external memory count together: over the limit it is replaced, over 1.25 times it is ended', () => {
  assert.deepEqual(verdict({ heapUsed: 600, external: 401 }), { do: 'retire', reason: 'memory' })
  const hard = verdict({ heapUsed: 600, external: 651 })
  assert.equal(hard.do === 'terminate' && hard.code, 'ERR_CONTEXT_MEMORY')
})

test('a heartbeat that stood still for longer than deadlockTimeout ends the context', () => {
  const dead = verdict({}, { silent: 501 })
  assert.deepEqual(dead.do === 'terminate' && [dead.code, dead.reason], ['ERR_CONTEXT_DEADLOCK', 'deadlock'])
})

test('CPU time over the limit replaces the context, over 1.25 times it ends', () => {
  assert.deepEqual(verdict({}, { cpu: 1999 }), { do: 'keep' })
  assert.deepEqual(verdict({}, { cpu: 2000 }), { do: 'retire', reason: 'cpu' })
  const hard = verdict({}, { cpu: 2500 })
  assert.deepEqual(hard.do === 'terminate' && [hard.code, hard.reason], ['ERR_CONTEXT_CPU', 'cpu'])
})

test('requests, age and idleness replace it, each for its own reason', () => {
  assert.deepEqual(verdict({ served: 10 }), { do: 'retire', reason: 'requests' })
  assert.deepEqual(verdict({}, { age: 9000 }), { do: 'retire', reason: 'age' })
  assert.deepEqual(verdict({}, { idle: 3000 }), { do: 'retire', reason: 'inactivity' })
})

test('a limit of 0 is off', () => {
  const off = { memoryLimit: 0, cpuTimeLimit: 0, deadlockTimeout: 0, maxRequests: 0, maxAge: 0, idleTimeout: 0 }
  assert.deepEqual(verdict({ heapUsed: 1e12, served: 1e9 }, { age: 1e12, cpu: 1e12, idle: 1e12, silent: 1e12 }, off), { do: 'keep' })
})

test('what must end at once goes before what may wait', () => {
  const both = verdict({ heapUsed: 1001 }, { silent: 501 })
  assert.equal(both.do === 'terminate' && both.reason, 'deadlock')
})
