import { test } from 'node:test'
import assert from 'node:assert/strict'
import { nearest, suggestion } from '../src/nearest.ts'

const NAMES = ['maxGroups', 'maxContexts', 'idleTimeout', 'queueTimeout']

test('a slip of the fingers finds the word that was meant', () => {
  assert.equal(nearest('maxGropus', NAMES), 'maxGroups')
  assert.equal(nearest('idletimeout', NAMES), 'idleTimeout')
  assert.equal(nearest('max-contexts', NAMES), 'maxContexts')
  assert.equal(nearest('queTimeout', NAMES), 'queueTimeout')
  assert.equal(suggestion('maxGroup', NAMES), ' (did you mean maxGroups?)')
})

test('a word that is near to nothing gets no suggestion', () => {
  assert.equal(nearest('colour', NAMES), undefined)
  assert.equal(nearest('', NAMES), undefined)
  assert.equal(nearest('x', []), undefined)
  assert.equal(suggestion('colour', NAMES), '')
})

test('a huge word costs nothing', () => {
  assert.equal(nearest('maxGroups'.repeat(100_000), NAMES), undefined)
})
