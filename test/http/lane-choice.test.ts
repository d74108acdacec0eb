import { test } from 'node:test'
import assert from 'node:assert/strict'
import { isOfProxy, isProxy } from '../../src/http/lane-choice.ts'
import { createTrust } from '../../src/label/trust.ts'

test('every field that proxies add is one, however it is written', () => {
  for (const name of [
    'Forwarded', 'Via', 'X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Port', 'X-Forwarded-Proto', 'X-Real-IP', 'x-ReAl-iP',
  ]) assert.equal(isOfProxy(['Host', 'a.test', name, 'x']), true, name)
  // A value is no name.
  assert.equal(isOfProxy(['Host', 'via', 'X-Forwarded', 'forwarded']), false)
})

test('whoever connects over a Unix socket speaks for others, and so does a trusted peer; a stranger does not', () => {
  const peer = (clientAddress: string): Parameters<typeof isProxy>[0] => ({ clientAddress, clientPort: 1, encrypted: false })
  const nobody = createTrust(false)
  assert.equal(isProxy(peer(''), nobody), true)
  assert.equal(isProxy(peer('192.0.2.1'), nobody), false)
  const some = createTrust('192.0.2.0/24')
  assert.equal(isProxy(peer('192.0.2.1'), some), true)
  assert.equal(isProxy(peer('198.51.100.1'), some), false)
})
