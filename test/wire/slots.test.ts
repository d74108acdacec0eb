import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Slots } from '../../src/wire/slots.ts'

test('a table of slots holds what a map would hold, at both ends, and never gives one id to two things', () => {
  fc.assert(fc.property(fc.array(fc.record({ put: fc.boolean(), pick: fc.nat() }), { maxLength: 200 }), (steps) => {
    const giver = new Slots<object>()
    const taker = new Slots<object>()
    const model = new Map<number, object>()
    const gone: number[] = []
    for (const { put, pick } of steps) {
      if (put || model.size === 0) {
        const id = giver.next()
        assert.ok(!model.has(id) && !gone.includes(id))
        const item = {}
        giver.put(id, item)
        taker.put(id, item)
        model.set(id, item)
      } else {
        const id = [...model.keys()][pick % model.size] as number
        assert.deepEqual([giver.delete(id), taker.delete(id), giver.delete(id), taker.delete(id)], [true, true, false, false])
        model.delete(id)
        gone.push(id)
      }
      for (const table of [giver, taker]) {
        assert.equal(table.size, model.size)
        for (const [id, item] of model) assert.equal(table.get(id), item)
        for (const id of gone) assert.equal(table.get(id), undefined)
        assert.deepEqual(new Set(table.values()), new Set(model.values()))
      }
      for (const id of [...gone, ...model.keys()]) assert.ok(giver.knows(id))
    }
  }))
})

test('a place is used again, so a table is as large as what was ever open at once', () => {
  const table = new Slots<object>()
  for (let round = 0; round < 1000; round++) {
    const ids = [table.next(), table.next()]
    for (const id of ids) table.put(id, {})
    for (const id of ids) table.delete(id)
  }
  assert.equal(table.knows(2), false)
})

test('the table at the receiving end does not grow with every thing that was in it', () => {
  const taker = new Slots<object>()
  const cycle = (times: number): void => {
    for (let at = 0; at < times; at++) {
      taker.put((1 << 16) | 3, taker)
      taker.delete((1 << 16) | 3)
    }
  }
  cycle(1000)
  const before = process.memoryUsage().heapUsed
  cycle(4_000_000)
  const grown = process.memoryUsage().heapUsed - before
  assert.ok(grown < 8e6, `${Math.round(grown / 1e6)} MB after 4 million requests`)
})

test('more than 65,536 things at once are refused', () => {
  const table = new Slots<object>()
  for (let at = 0; at < 65_536; at++) table.put(table.next(), table)
  assert.throws(() => table.next(), RangeError)
})
