import { test } from 'node:test'
import assert from 'node:assert/strict'
import { eventually } from '../behaviour/client.ts'
import { connect, exchange, get } from './front.ts'
import { handSource, skip } from './handed-front.ts'

test('a client that leaves its place in the queue gets no slot, and the slot is not lost with it', { skip }, async (t) => {
  const { port, context } = await handSource(t, `
    const seen = []
    let release
    export default (req, res) => {
      seen.push(req.url)
      if (req.url === '/hold') release = () => res.end('let go')
      else res.end(seen.join())
      if (req.url === '/free') release()
    }`, { requests: { maxInFlight: 1, maxQueue: 3 }, pace: { queueTimeout: 10_000 } })
  for (let round = 1; round <= 5; round++) {
    const [first, second] = [await connect(t, port), await connect(t, port)]
    first.socket.write(get('/hold'))
    await eventually('it is held', () => context.scoreboard.read('handedInFlight') === 1)
    second.socket.write(get('/gone'))
    await eventually('one waits', () => context.scoreboard.read('handedQueued') === 1)
    // Both leave in one turn, so that the slot is free before anybody has looked through the queue.
    second.socket.resetAndDestroy()
    first.socket.resetAndDestroy()
    assert.doesNotMatch(await exchange(t, port, get('/seen')), /gone/)
    await eventually('nothing is in flight', () => context.scoreboard.read('inFlight') === 0)
  }
})
