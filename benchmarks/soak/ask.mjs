// Requests of a client that checks what it gets. Each resolves with an outcome and never rejects:
// { status, text, bytes, version, code, fault, silent, reused }; `fault` says why an answer is not complete, `left` that we
// left ourselves, `silent` that no byte of an answer came, `reused` that the connection had served a request before.
import { createHash } from 'node:crypto'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'

const PATIENCE = 40_000

/** Text that is kept of an answer; more is only counted. */
const MOST_TEXT = 1000

export class Client {
  #url
  #agentOf

  /** `agentOf`: whose connections requests for a host go over; false: each has one of its own. */
  constructor(url, agentOf) {
    this.#url = url
    this.#agentOf = agentOf
  }

  /** `pieces`: the body to send. `leaveAfter`: bytes after which the client goes. `pause`: how long it stops reading once. */
  ask(host, path, { pieces = [], leaveAfter = Infinity, pause = 0 } = {}) {
    return new Promise((resolve) => {
      const outcome = newOutcome()
      let heard = 0
      const settle = (fault) => {
        outcome.fault = fault
        outcome.silent = (outgoing.socket?.bytesRead ?? 0) === heard
        outcome.reused = outgoing.reusedSocket
        resolve(outcome)
      }
      const outgoing = request(this.#url + path, {
        agent: this.#agentOf(host), method: pieces.length > 0 ? 'POST' : 'GET', headers: { host, accept: 'application/problem+json' },
      })
      outgoing.setTimeout(PATIENCE, () => outgoing.destroy(new Error(`silent for ${PATIENCE} ms`)))
      outgoing.on('socket', ({ bytesRead }) => { heard = bytesRead })
      outgoing.on('error', (error) => settle(error.code ?? error.message))
      outgoing.on('response', (incoming) => {
        outcome.status = incoming.statusCode
        outcome.version = incoming.headers['x-version']
        incoming.on('data', (piece) => {
          outcome.bytes += piece.length
          if (outcome.text.length < MOST_TEXT) outcome.text += piece.toString('latin1').slice(0, MOST_TEXT)
          if (outcome.bytes > leaveAfter) {
            outcome.left = true
            outgoing.destroy()
          } else if (pause > 0 && outcome.bytes === piece.length) {
            incoming.pause()
            setTimeout(() => incoming.resume(), pause)
          }
        })
        incoming.on('error', () => {})
        incoming.on('close', () => {
          if (incoming.headers['content-type'] === 'application/problem+json') outcome.code = codeOf(outcome.text)
          settle(incoming.complete ? undefined : 'the answer breaks off')
        })
      })
      void sendBody(outgoing, pieces, leaveAfter, outcome)
    })
  }

  /** Opens a WebSocket, says something three times and hears it again. */
  talk(host) {
    return new Promise((resolve) => {
      const outcome = newOutcome()
      const settle = (fault) => {
        outcome.fault ??= fault
        outcome.silent = outcome.status === undefined
        resolve(outcome)
      }
      const socket = new WebSocket(this.#url.replace('http', 'ws'), {
        headers: { host, accept: 'application/problem+json' }, handshakeTimeout: PATIENCE,
      })
      socket.on('unexpected-response', (_, incoming) => {
        outcome.status = incoming.statusCode
        incoming.on('data', (piece) => { outcome.text += piece.toString('latin1').slice(0, MOST_TEXT) })
        incoming.on('error', () => {})
        incoming.on('close', () => {
          outcome.code = codeOf(outcome.text)
          settle(undefined)
        })
      })
      socket.on('error', (error) => settle(error.code ?? error.message))
      socket.on('open', () => {
        outcome.status = 101
        socket.send('1')
      })
      socket.on('message', (data) => {
        const text = Buffer.from(data).toString()
        if (text !== `${host} ${outcome.bytes += 1}`) outcome.fault = `it said ${text.slice(0, 100)}`
        if (outcome.bytes === 3) socket.close(1000)
        else setTimeout(() => socket.readyState === socket.OPEN && socket.send(String(outcome.bytes + 1)), 50)
      })
      socket.on('close', (code) => settle(code === 1000 ? undefined : `closed with ${code}`))
    })
  }
}

function newOutcome() {
  return {
    status: undefined, text: '', bytes: 0, version: undefined, code: undefined, fault: undefined, left: false, silent: false, reused: false,
  }
}

/** In pieces with pauses, as a slow client sends. */
async function sendBody(outgoing, pieces, leaveAfter, outcome) {
  let sent = 0
  for (const piece of pieces) {
    if (outgoing.destroyed) return
    outgoing.write(piece)
    sent += piece.length
    if (sent > leaveAfter) {
      outcome.left = true
      outgoing.destroy()
      return
    }
    await sleep(5)
  }
  outgoing.end()
}

export function digest(pieces) {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex')
}

function codeOf(text) {
  try {
    return JSON.parse(text).code
  } catch {
    return undefined
  }
}
