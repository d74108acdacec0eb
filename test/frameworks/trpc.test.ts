import { test } from 'node:test'
import assert from 'node:assert/strict'
import { createTRPCClient, httpBatchLink, httpBatchStreamLink, httpLink } from '@trpc/client'
import { eventually } from '../behaviour/client.ts'
import { serveFramework } from './serve.ts'
import type { AnyRouter } from '@trpc/server'
import type { TRPCLink } from '@trpc/client'

interface Caller {
  readonly greet: { query(input: unknown): Promise<string> }
  readonly shout: { mutate(input: unknown): Promise<string> }
  readonly who: { query(): Promise<string> }
  readonly count: { query(): Promise<AsyncIterable<number>> }
}

test('tRPC over Express', async (t) => {
  const { url, log } = await serveFramework(t, 'trpc.mjs')
  // The router's types live in the application; its shape here is what the test says.
  const caller = (link: TRPCLink<AnyRouter>): Caller => createTRPCClient<AnyRouter>({ links: [link] }) as unknown as Caller
  const to = { url: `${url}/trpc` }

  for (const [name, link] of [['each call alone', httpLink(to)], ['calls in one batch', httpBatchLink(to)], ['a streamed batch', httpBatchStreamLink(to)]] as const) {
    await t.test(name, async () => {
      const client = caller(link)
      const answers = await Promise.all([client.greet.query('Ada'), client.shout.mutate('é'), client.greet.query('Grace')])
      assert.deepEqual(answers, ['hello Ada from 127.0.0.1', 'É', 'hello Grace from 127.0.0.1'])
      await assert.rejects(client.who.query(), { message: 'who?' })
      await assert.rejects(client.greet.query(7), { message: 'text wanted' })
    })
  }

  await t.test('headers reach the context of a call', async () => {
    assert.equal(await caller(httpLink({ ...to, headers: { authorization: 'ada' } })).who.query(), 'ada')
  })

  await t.test('a generator streams its values', async () => {
    const seen: number[] = []
    for await (const value of await caller(httpBatchStreamLink(to)).count.query()) seen.push(value)
    assert.deepEqual(seen, [1, 2, 3])
  })

  await t.test('a subscription sends events until its client leaves', async () => {
    const client = new AbortController()
    const events = await fetch(`${url}/trpc/ticks`, { headers: { accept: 'text/event-stream' }, signal: client.signal })
    assert.equal(events.headers.get('content-type'), 'text/event-stream')
    let seen = ''
    for await (const part of events.body!.pipeThrough(new TextDecoderStream())) {
      seen += part
      if (seen.includes('{"tick":3}')) break
    }
    client.abort()
    await eventually('the procedure hears of it', () => log.some(({ msg }) => msg === 'subscription over'))
  })
})
