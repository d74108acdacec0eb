import { test } from 'node:test'
import assert from 'node:assert/strict'
import http from 'node:http'
import { ERROR_STATUS, TenantryError } from '../../src/errors.ts'
import { replyWithError } from '../../src/connection/error-reply.ts'
import { bodyOf, connect, exchange, get, listen } from '../tenant/front.ts'
import type { TestContext } from 'node:test'
import type { ErrorCode } from '../../src/errors.ts'

const CODES = (Object.keys(ERROR_STATUS) as ErrorCode[]).filter((code) => ERROR_STATUS[code] !== null)
const SECRET = '/srv/secret/path.js of tenant x'

/** A server that answers every request with the error its url names. */
function serve(t: TestContext, prepare: (res: http.ServerResponse) => void = () => {}): Promise<number> {
  return listen(t, http.createServer((req, res) => {
    prepare(res)
    const code = (req.url as string).slice(1) as ErrorCode
    replyWithError(req, res, new TenantryError(code, SECRET, { label: 'x', retryAfter: code === 'ERR_GROUP_LIMIT' ? 1.2 : undefined, cause: new Error(SECRET) }))
  }))
}

for (const code of CODES) {
  test(`${code} answers with its status, in words and as a problem, and gives nothing away`, async (t) => {
    const port = await serve(t)
    const status = ERROR_STATUS[code] as number
    const text = await exchange(t, port, get(`/${code}`))
    assert.match(text, new RegExp(`^HTTP/1\\.1 ${status} ${http.STATUS_CODES[status]}\r\n`))
    assert.match(text, /\r\nContent-Type: text\/plain; charset=utf-8\r\n/)
    assert.match(text, /\r\nCache-Control: no-store\r\n/)
    const problem = await exchange(t, port, get(`/${code}`, 'Accept: application/problem+json\r\n'))
    assert.match(problem, /\r\nContent-Type: application\/problem\+json\r\n/)
    const { type, title, detail, ...rest } = JSON.parse(bodyOf(problem)) as Record<string, unknown>
    assert.deepEqual(rest, { status, code })
    assert.ok(type === 'about:blank' && title === http.STATUS_CODES[status] && typeof detail === 'string')
    for (const answer of [text, problem]) assert.doesNotMatch(answer, /secret|srv|stack|tenant x/)
  })
}

test('a back-off and a drain are not called a limit of the server', async (t) => {
  const port = await serve(t)
  assert.match(bodyOf(await exchange(t, port, get('/ERR_GROUP_LIMIT'))), /at its limit/)
  assert.match(bodyOf(await exchange(t, port, get('/ERR_GROUP_BACKOFF'))), /The application failed/)
  assert.match(bodyOf(await exchange(t, port, get('/ERR_DRAINING'))), /The server is closing/)
})

test('HEAD gets the head alone, with the length that GET would have', async (t) => {
  const port = await serve(t)
  const [head, full] = [await exchange(t, port, get('/ERR_TENANT_NOT_FOUND', '', 'HEAD')), await exchange(t, port, get('/ERR_TENANT_NOT_FOUND'))]
  assert.equal(bodyOf(head), '')
  assert.equal(Number(/Content-Length: (\d+)/.exec(head)?.[1]), bodyOf(full).length)
})

test('Retry-After is whole seconds, rounded up', async (t) => {
  const port = await serve(t)
  assert.match(await exchange(t, port, get('/ERR_GROUP_LIMIT')), /\r\nRetry-After: 2\r\n/)
})

for (const code of ['ERR_HOST_INVALID', 'ERR_READ_TIMEOUT', 'ERR_BODY_TOO_LARGE', 'ERR_DRAINING'] as const) {
  test(`${code} closes the connection`, async (t) => {
    const client = await connect(t, await serve(t))
    client.socket.write(`GET /${code} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
    assert.match(await client.closed, /\r\nConnection: close\r\n/)
  })
}

test('ERR_TENANT_NOT_FOUND keeps the connection', async (t) => {
  const client = await connect(t, await serve(t))
  const one = 'GET /ERR_TENANT_NOT_FOUND HTTP/1.1\r\nHost: a.test\r\n\r\n'
  client.socket.write(one)
  await client.until('404')
  client.socket.write(one.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
  assert.equal((await client.closed).match(/HTTP\/1\.1 404/g)?.length, 2)
})

test('fields that described another body are taken away, others stay', async (t) => {
  const port = await serve(t, (res) => {
    for (const [name, value] of [['Content-Encoding', 'br'], ['ETag', '"x"'], ['Content-Length', '7'], ['X-Outer', 'stays']] as const) res.setHeader(name, value)
  })
  const answer = await exchange(t, port, get('/ERR_HANDLER_TIMEOUT'))
  assert.doesNotMatch(answer, /Content-Encoding|ETag|Content-Length: 7\r/)
  assert.match(answer, /X-Outer: stays/)
})

test('after the head nothing more is said: the connection breaks off', async (t) => {
  const port = await serve(t, (res) => {
    res.write('part')
  })
  assert.doesNotMatch(await exchange(t, port, get('/ERR_CONTEXT_EXITED')), /0\r\n\r\n$|502/)
})
