// Listens to an event stream on many connections: sse.mjs URL '{…}'. Each event says when it was sent, by the clock that
// all processes of a machine share; how long it took is from then until its last byte is here.
import { get } from 'node:http'
import { percentiles } from './percentiles.mjs'

const [, , url, text] = process.argv
const { host, connections, seconds } = JSON.parse(text)
const now = () => performance.timeOrigin + performance.now()
const delays = []
let counting = false

const streams = await Promise.all(Array.from({ length: connections }, listen))
counting = true
const since = performance.now()
await new Promise((resolve) => { setTimeout(resolve, seconds * 1000) })
counting = false
const took = (performance.now() - since) / 1000
for (const stream of streams) stream.destroy()
console.log(JSON.stringify({ requests: delays.length, seconds: took, errors: 0, bytes: 0, ...percentiles(delays) }))

function listen() {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, headers: { host } }, (incoming) => {
      if (incoming.headers['content-type'] !== 'text/event-stream') return reject(new Error(`no event stream: ${incoming.statusCode}`))
      let rest = ''
      incoming.setEncoding('utf8').on('data', (piece) => {
        const events = (rest + piece).split('\n\n')
        rest = events.pop()
        const at = now()
        if (counting) for (const event of events) delays.push(at - Number(event.slice('data: '.length)))
      })
      incoming.on('end', () => reject(new Error('a stream ended')))
      incoming.on('error', (error) => {
        if (counting) throw error
      })
      incoming.once('data', () => resolve(incoming))
    })
    request.on('error', reject)
  })
}
