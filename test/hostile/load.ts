import http from 'node:http'

/** A neighbour's requests, one after another, and how each went. */
export class Load {
  readonly #port: number
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 2 })
  readonly #loops: Promise<void>[]
  #stopped = false
  #latencies: number[] = []
  #failures: string[] = []

  /**
   * Two neighbours, about 60 requests/s each: one over a kept connection, whose application
   * reads a file and so needs the process's thread pool; one over a new connection each time.
   */
  constructor(port: number) {
    this.#port = port
    this.#loops = [this.#loop('files.test', this.#agent), this.#loop('plain.test', false)]
  }

  /** Forgets what was, and starts to measure. */
  begin(): void {
    this.#latencies = []
    this.#failures = []
  }

  get requests(): number {
    return this.#latencies.length
  }

  get failures(): readonly string[] {
    return this.#failures
  }

  /** Milliseconds. */
  get p99(): number {
    return this.#latencies.toSorted((a, b) => a - b)[Math.floor(this.#latencies.length * 0.99)] ?? Infinity
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#agent.destroy()
    await Promise.all(this.#loops)
  }

  async #loop(host: string, agent: http.Agent | false): Promise<void> {
    while (!this.#stopped) {
      const since = performance.now()
      const fault = await ask(this.#port, host, agent)
      if (this.#stopped) return
      this.#latencies.push(performance.now() - since)
      if (fault !== undefined) this.#failures.push(`${host}: ${fault}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}

/** undefined when the answer is what the neighbour says, else what is wrong. */
function ask(port: number, host: string, agent: http.Agent | false): Promise<string | undefined> {
  return new Promise((resolve) => {
    const outgoing = http.get({ host: '127.0.0.1', port, agent, headers: { host } }, (incoming) => {
      let text = ''
      incoming.setEncoding('latin1').on('data', (part: string) => { text += part }).on('error', () => {})
      incoming.on('close', () => {
        resolve(incoming.complete && text === 'fine' ? undefined : `${incoming.statusCode} ${text.slice(0, 100)}`)
      })
    })
    outgoing.setTimeout(3000, () => outgoing.destroy(new Error('no answer')))
    outgoing.on('error', (error) => resolve(error.message))
  })
}

/** The two neighbours' modules, by host. */
export const NEIGHBOURS = {
  'plain.test': "export default (req, res) => res.end('fine')",
  'files.test': `
    import { readFile } from 'node:fs'
    export default (req, res) => readFile(new URL(import.meta.url), (error) => res.end(error ? 'unreadable' : 'fine'))
  `,
}
