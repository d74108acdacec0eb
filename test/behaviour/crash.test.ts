import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, eventually, exchange, Wire } from './client.ts'
import { COUNTING, openHouse } from './house.ts'
import type { House } from './house.ts'

/** Every way in which a context ends under its requests. */
const ENDING = `
const leak = []
const ways = {
  '/crash'() { setImmediate(() => { throw new Error('on purpose') }) },
  '/reject'() { Promise.reject(new Error('on purpose')) },
  '/exit'() { process.exit(0) },
  '/memory'() { setInterval(() => leak.push(new Array(500_000).fill(leak.length)), 5) },
  '/buffers'() { setInterval(() => leak.push(Buffer.alloc(4_000_000, 1)), 5) },
  '/spin'() { while (true) {} },
}
export default (req, res) => {
  if (req.url === '/wait') return
  if (req.url === '/begin') return void res.write('begun')
  if (req.url === '/length') { res.setHeader('content-length', '100'); return void res.write('begun') }
  const way = ways[req.url]
  if (way === undefined) res.end('fine')
  else way()
}
`

/** On the hand-off, nobody is left to answer 502: see lanes.test.ts. */
const LIMITS = { lane: 'relay', memoryLimit: '64mb', deadlockTimeout: 1000 } as const

for (const [way, code, reason] of [
  ['/crash', 'ERR_CONTEXT_EXITED', 'crash'],
  ['/reject', 'ERR_CONTEXT_EXITED', 'crash'],
  ['/exit', 'ERR_CONTEXT_EXITED', 'exit'],
  ['/memory', 'ERR_CONTEXT_MEMORY', 'memory'],
  ['/buffers', 'ERR_CONTEXT_MEMORY', 'memory'],
  ['/spin', 'ERR_CONTEXT_DEADLOCK', 'deadlock'],
] as const) {
  test(`${way}: who waits is answered 502, who reads sees a truncated answer, neighbours and successors are served`, async (t) => {
    const house = await openHouse(t, { 'a.test': ENDING, 'b.test': COUNTING }, LIMITS)
    await endsCleanly(house, way)
    const codes = house.log.filter((line) => line.msg === 'request failed' && line['code'] === code)
    assert.ok(codes.length >= 4, `${codes.length} lines with ${code}`)
    await eventually('the log says why', () => house.log.some((line) => line.msg.startsWith('context ended') && line['reason'] === reason))

    async function endsCleanly({ port }: House, path: string): Promise<void> {
      assert.equal((await ask(port, 'a.test')).text, 'fine')
      assert.equal((await ask(port, 'b.test')).status, 200)
      const chunked = await Wire.open(t, port)
      chunked.send('GET /begin HTTP/1.1\r\nHost: a.test\r\n\r\n')
      const counted = await Wire.open(t, port)
      counted.send('GET /length HTTP/1.1\r\nHost: a.test\r\n\r\n')
      await Promise.all([chunked.until('begun'), counted.until('begun')])
      const waiting = ask(port, 'a.test', '/wait')
      const culprit = ask(port, 'a.test', path)
      let neighbours = 0
      const watch = setInterval(() => void ask(port, 'b.test').then(({ status }) => { if (status === 200) neighbours++ }), 50)
      const answers = await Promise.all([waiting, culprit])
      clearInterval(watch)
      assert.deepEqual(answers.map(({ status }) => status), [502, 502])
      assert.match(answers[0].text, /^502 Bad Gateway\n/)
      assert.doesNotMatch(answers[0].text, /purpose/)
      assert.doesNotMatch(await chunked.rest(), /\r\n0\r\n/, 'no chunk says that it was complete')
      assert.match(await counted.rest(), /begun$/)
      assert.equal((await ask(port, 'b.test')).status, 200)
      assert.equal((await ask(port, 'a.test')).text, 'fine', 'the next request starts it anew')
      if (path === '/spin') assert.ok(neighbours > 5, `the neighbour answered ${neighbours} times meanwhile`)
    }
  })
}

test('an application that fails at every start is left alone for longer and longer, and is served as soon as it is mended', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': `
    import { existsSync } from 'node:fs'
    if (!existsSync(new URL('mended', import.meta.url))) throw new Error('on purpose')
    export default (req, res) => res.end('fine')
  ` }, { startupTimeout: 5000 })
  const first = await ask(port, 'a.test')
  assert.equal(first.status, 500)
  const refused = await ask(port, 'a.test')
  assert.equal(refused.status, 503)
  const births = runtime.stats().births
  for (let index = 0; index < 50; index++) await ask(port, 'a.test')
  assert.ok(runtime.stats().births <= births + 1, 'clients cannot make it start over and over')
  const waits: number[] = []
  for (let index = 0; index < 3; index++) {
    await eventually('it may start again', async () => {
      const { status, headers } = await ask(port, 'a.test')
      waits.push(Number(headers['retry-after'] ?? 0))
      return status === 500
    })
  }
  assert.ok(Math.max(...waits) >= 2, `Retry-After grew to ${Math.max(...waits)}`)
})

test('an application that destroys its connection breaks the client off, and only this one', async (t) => {
  const { port } = await openHouse(t, { 'a.test': `
    export default (req, res) => {
      if (req.url === '/destroy') { res.write('begun'); setTimeout(() => res.destroy(), 20) }
      else if (req.url === '/socket') { res.write('begun'); setTimeout(() => req.socket.destroy(), 20) }
      else res.end('fine')
    }
  ` })
  for (const path of ['/destroy', '/socket']) {
    const text = await exchange(t, port, `GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
    assert.match(text, /begun/)
    assert.doesNotMatch(text, /\r\n0\r\n/)
    assert.equal((await ask(port, 'a.test')).text, 'fine')
  }
})
