import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rehearse } from '../../src/tenant/rehearsal.ts'
import { Kind } from '../../src/wire/frames.ts'
import { PieceMemory } from '../../src/wire/piece-memory.ts'
import type { Batch } from '../../src/wire/frames.ts'

test('a rehearsal is a whole request and its answer, and leaves nothing behind for the tenant', async () => {
  const posted: unknown[] = []
  const before = { env: { ...process.env }, globals: Reflect.ownKeys(globalThis), listeners: process.eventNames(), argv: [...process.argv] }
  await rehearse({
    movesMemory: false, memory: new PieceMemory(), close() {},
    post: (batch: Batch) => void posted.push(...batch),
  })
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(posted[0], Kind.HEAD)
  assert.match(posted.find((part) => typeof part === 'string' && part.startsWith('HTTP/')) as string, /^HTTP\/1\.1 200 OK\r\n/)
  assert.deepEqual({
    env: { ...process.env }, globals: Reflect.ownKeys(globalThis), listeners: process.eventNames(), argv: [...process.argv],
  }, before)
})
