import { test } from 'node:test'
import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import { builtInConnectionListener, kNeedDrain, originalFinish, originalStoreHeader } from '../../src/tenant/node-internals.ts'

/** Everything undocumented that a context uses; a Node without one of them fails here, not in a request. */
test('this Node has every undocumented part of node:http that a context relies on', () => {
  const req = new http.IncomingMessage(new net.Socket()) as unknown as Record<string, unknown>
  const res = new http.ServerResponse(req as unknown as http.IncomingMessage) as unknown as Record<string, unknown>
  assert.equal(typeof originalStoreHeader, 'function')
  assert.equal(typeof originalFinish, 'function')
  for (const method of ['_storeHeader', '_send', '_writeRaw', '_finish', 'assignSocket', 'detachSocket']) assert.equal(typeof res[method], 'function', method)
  for (const method of ['_addHeaderLines', '_dump']) assert.equal(typeof req[method], 'function', method)
  for (const field of ['_header', '_headerSent', '_hasBody', '_last', '_closed', '_trailer', '_keepAliveTimeout', '_sent100', 'outputSize',
    'destroyed', 'chunkedEncoding', 'shouldKeepAlive', 'finished']) assert.ok(field in res, field)
  assert.ok('_consuming' in req)
  const state = req['_readableState'] as object
  for (const field of ['readingMore', 'resumeScheduled']) assert.ok(field in state, field)
  assert.equal(kNeedDrain?.description, 'kNeedDrain')
  assert.equal(typeof builtInConnectionListener, 'function')
  assert.ok(http.createServer().listeners('connection').includes(builtInConnectionListener as () => void))
  const server = net.createServer() as unknown as Record<string, unknown>
  for (const field of ['_handle', '_connections']) assert.ok(field in server, field)
  assert.equal(typeof server['_emitCloseIfDrained'], 'function')
  assert.equal(typeof (new net.Socket() as unknown as Record<string, unknown>)['_unrefTimer'], 'function')
})
