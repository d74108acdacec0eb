import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ConnectionBound } from '../../src/http/connection-bound.ts'

const step = fc.constantFrom('accept', 'close here', 'hand over', 'close there', 'come back')

test('there are never more connections than maxConnections, here and handed over, and none is refused while there is room', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 200 }), (max, steps) => {
    let [here, there] = [0, 0]
    const bound = new ConnectionBound(max, () => there)
    const enter = (): void => {
      const hadRoom = here + there < max
      assert.equal(bound.enter(), hadRoom)
      if (hadRoom) here++
    }
    for (const what of steps) {
      if (what === 'accept') enter()
      if (what === 'close there' && there > 0) there--
      if (what === 'come back' && there > 0) {
        there--
        enter()
      }
      if (what === 'close here' && here > 0) {
        here--
        bound.leave()
      }
      if (what === 'hand over' && here > 0) {
        here--
        there++
        bound.handOver()
      }
      assert.ok(here + there <= max)
    }
  }))
})

test('contexts are asked for their connections only where the bound may be reached', () => {
  let asked = 0
  const bound = new ConnectionBound(100, () => ++asked)
  for (let index = 0; index < 50; index++) {
    bound.enter()
    bound.handOver()
  }
  for (let index = 0; index < 50; index++) bound.enter()
  assert.equal(asked, 0)
  bound.enter()
  assert.equal(asked, 1)
})

test('0 is no bound', () => {
  const bound = new ConnectionBound(0, () => Infinity)
  for (let index = 0; index < 1000; index++) assert.equal(bound.enter(), true)
})
