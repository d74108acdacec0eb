import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { defaultCaps, parseDescriptorLimit, readMachine } from '../src/machine.ts'

const MB = 1024 ** 2
const GB = 1024 ** 3

test('memory decides the number of contexts where descriptors are plenty', () => {
  const caps = defaultCaps({ memory: 2 * GB, descriptors: 65_536, cores: 2 })
  assert.equal(caps.maxContexts, 21)
  assert.equal(caps.memoryLimit, 256 * MB)
})

test('descriptors decide it where memory is plenty', () => {
  assert.equal(defaultCaps({ memory: 256 * GB, descriptors: 1024, cores: 32 }).maxContexts, 102)
})

test('a small machine gets a small memory limit, and can still replace one context by another', () => {
  assert.deepEqual(defaultCaps({ memory: 128 * MB, descriptors: 64, cores: 1 }), {
    maxContexts: 2,
    memoryLimit: 64 * MB,
    maxStarting: 2,
    maxStarts: 120,
    maxMemory: 102 * MB,
    maxConnections: 40,
  })
})

test('connections get what contexts leave of the descriptors, and no more than a quarter of the memory', () => {
  assert.equal(defaultCaps({ memory: 256 * GB, descriptors: 1024, cores: 32 }).maxConnections, 385)
  assert.equal(defaultCaps({ memory: 2 * GB, descriptors: Number.MAX_SAFE_INTEGER, cores: 2 }).maxConnections, 32_768)
})

test('every machine gets whole caps that leave half of it free', () => {
  const machines = fc.record({
    memory: fc.integer({ min: MB, max: 4096 * GB }),
    descriptors: fc.integer({ min: 16, max: 2 ** 31 }),
    cores: fc.integer({ min: 1, max: 512 }),
  })
  fc.assert(
    fc.property(machines, (machine) => {
      const caps = defaultCaps(machine)
      assert.ok(Object.values(caps).every((cap) => Number.isSafeInteger(cap) && cap > 0))
      assert.ok(caps.maxContexts === 2 || caps.maxContexts * 5 <= machine.descriptors / 2)
      assert.ok(caps.maxContexts === 2 || caps.maxContexts * 48 * MB <= machine.memory / 2)
      assert.ok(caps.maxConnections === 16 || caps.maxConnections + caps.maxContexts * 5 <= machine.descriptors)
      assert.ok(caps.maxContexts <= 512 && caps.maxStarts >= caps.maxContexts)
    }),
  )
})

test('the descriptor limit is read from Linux, and a safe number stands in elsewhere', () => {
  const line =
    'Limit                     Soft Limit           Hard Limit           Units\nMax open files            4096                 20000                files\n'
  assert.equal(parseDescriptorLimit(line), 4096)
  assert.equal(parseDescriptorLimit(line.replace('4096', 'unlimited')), Number.MAX_SAFE_INTEGER)
  assert.equal(parseDescriptorLimit(''), 1024)
})

test('this machine answers with usable numbers', () => {
  const machine = readMachine()
  assert.ok(machine.memory > 0 && machine.descriptors > 0 && machine.cores > 0)
})
