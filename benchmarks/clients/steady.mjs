// Asks one tenant at a steady pace while others are asked as fast as they answer: steady.mjs URL '{…}'. What a request
// took counts from when it was due: a server that stands still delays all that are due meanwhile, not one.
import { Agent, get } from 'node:http'
import { percentiles } from './percentiles.mjs'

const [, , url, text] = process.argv
const { host, pace, seconds, noise } = JSON.parse(text)
const agent = new Agent({ keepAlive: true })
const noisy = new Agent({ keepAlive: true })
const times = []
let failed = 0
let wrong = 0
let over = false

const noises = noise === undefined ? [] : Array.from({ length: noise.connections }, makeNoise)
const since = performance.now()
const asked = []
for (let count = 0; count < pace * seconds;) {
  const due = Math.min(pace * seconds, ((performance.now() - since) / 1000) * pace)
  for (; count < due; count += 1) asked.push(measure(since + (count / pace) * 1000))
  await new Promise((resolve) => { setTimeout(resolve, 1) })
}
await Promise.all(asked)
over = true
agent.destroy()
noisy.destroy()
await Promise.all(noises)
if (wrong > 0) throw new Error(`${wrong} answers were wrong`)
console.log(JSON.stringify({ requests: asked.length, seconds, failed, ...percentiles(times) }))

async function measure(due) {
  const answer = await ask('/', host, agent)
  if (answer === '200 Hello, World!') times.push(performance.now() - due)
  else if (answer?.startsWith('200 ')) wrong += 1
  else failed += 1
}

async function makeNoise() {
  while (!over) {
    for (const path of noise.paths) await ask(path, noise.host, noisy)
    await new Promise((resolve) => { setTimeout(resolve, 1) })
  }
}

/** undefined where there was no answer. */
function ask(path, name, from) {
  return new Promise((resolve) => {
    const request = get(url + path, { agent: from, headers: { host: name }, timeout: 10_000 }, (incoming) => {
      let body = ''
      incoming.setEncoding('utf8').on('data', (piece) => { body += piece })
      incoming.on('end', () => resolve(`${incoming.statusCode} ${body}`)).on('error', () => resolve())
    })
    request.on('error', () => resolve()).on('timeout', () => request.destroy())
  })
}
