import { test } from 'node:test'
import assert from 'node:assert/strict'
import { AnswerReader } from '../../src/bench/answer-reader.ts'

interface Case { readonly name: string; readonly text: string; readonly status: number; readonly last?: boolean; readonly head?: boolean }

const CASES: readonly Case[] = [
  { name: 'a length', text: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello', status: 200 },
  { name: 'a length of nothing', text: 'HTTP/1.1 404 Not Found\r\ncontent-length:0\r\nConnection: close\r\n\r\n', status: 404, last: true },
  {
    name: 'chunks, an extension and trailers',
    text: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\nA;x=1\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n',
    status: 200,
  },
  { name: 'a 1xx head before its own', text: 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n', status: 204 },
  { name: 'an answer to HEAD', text: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', status: 200, head: true },
  { name: 'HTTP/1.0', text: 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab', status: 200, last: true },
]

for (const { name, text, status, last = false, head = false } of CASES) {
  test(`an answer with ${name} is complete at its last byte, wherever it is cut`, () => {
    const bytes = Buffer.from(text, 'latin1')
    for (let cut = 0; cut < bytes.length; cut++) {
      const reader = new AnswerReader()
      reader.expect(head)
      assert.equal(reader.read(bytes.subarray(0, cut)), false, `cut at ${cut}`)
      assert.equal(reader.read(bytes.subarray(cut)), true, `cut at ${cut}`)
      assert.deepEqual([reader.status, reader.lastOnConnection, reader.end()], [status, last, false])
    }
    const reader = new AnswerReader()
    reader.expect(head)
    const completeAt = [...bytes].findIndex((_, at) => reader.read(bytes.subarray(at, at + 1)))
    assert.equal(completeAt, bytes.length - 1)
  })
}

test('an answer without a length is complete when its connection ends, and one with a length is not', () => {
  const reader = new AnswerReader()
  reader.expect(false)
  assert.equal(reader.read(Buffer.from('HTTP/1.1 200 OK\r\n\r\nas much as')), false)
  assert.deepEqual([reader.lastOnConnection, reader.end()], [true, true])
  reader.expect(false)
  assert.equal(reader.read(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort')), false)
  assert.equal(reader.end(), false)
})

test('what is no answer is refused', () => {
  const broken: readonly (readonly [string, RegExp])[] = [
    ['SSH-2.0-x\r\n\r\n', /no HTTP/],
    ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab', /more than its answer/],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n', /broken chunk/],
    ['HTTP/1.1 101 Switching Protocols\r\n\r\n', /upgrade/],
    ['x'.repeat(300_000), /without an end/],
  ]
  for (const [text, message] of broken) {
    const reader = new AnswerReader()
    reader.expect(false)
    assert.throws(() => reader.read(Buffer.from(text)), { message })
  }
})
