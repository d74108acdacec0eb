import { test } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { OPTION_NAMES } from '../src/option-table.ts'
import { resolveOptions } from '../src/options.ts'
import { changeLive, LIVE_OPTIONS } from '../src/resolving.ts'

test('docs/options.md lists exactly the options that may change while serving', () => {
  const sentence = /\* May change while serving,[^:]*: ([^.]*)\./.exec(readFileSync('docs/options.md', 'utf8'))?.[1] ?? ''
  const listed = [...sentence.matchAll(/`(\w+)`/g)].map(([, name]) => name)
  assert.deepEqual(new Set(listed), LIVE_OPTIONS)
  assert.deepEqual(listed.filter((name) => !(OPTION_NAMES as readonly unknown[]).includes(name)), [])
})

test('what may change is taken over, and the caps stay', () => {
  const before = resolveOptions({ tenants: {}, idleTimeout: 1, maxContexts: 7, maxGroups: 5, queueTimeout: 3 })
  const access = (): boolean => true
  const after = changeLive(before, resolveOptions({ tenants: { 'a.test': './a.mjs' }, idleTimeout: 2, maxContexts: 9, access }))
  const { tenants, idleTimeout, maxContexts, maxGroups, queueTimeout } = after
  assert.deepEqual({ tenants, idleTimeout, maxContexts, maxGroups, queueTimeout },
    { tenants: { 'a.test': './a.mjs' }, idleTimeout: 2, maxContexts: 7, maxGroups: 5, queueTimeout: 3 })
  assert.equal(after.access, access)
  assert.ok(Object.isFrozen(after))
})
