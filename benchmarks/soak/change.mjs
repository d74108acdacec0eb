// Changes tenants while they are served, and has them read again, until it is stopped.
import { setTimeout as sleep } from 'node:timers/promises'

const EVERY = 8000
const AT_ONCE = 3
/**
 * A connection that was handed over reaches the old context until that hears of its end (docs/lanes.md: 0.1 s, and what
 * its loop is busy with); on the relay the next request is for the new one.
 */
const HEARS = { relay: 0, auto: 1000 }
/** One of so many changes does not load; it is mended the next time. */
const ONE_IS_BROKEN = 8

export class Changes {
  #stopped = false
  #running
  done = 0

  constructor({ command, tenants, pickHost, random, lane }) {
    this.#running = this.#run({ command, tenants, pickHost, random, lane })
    // It is heard of by who stops it.
    this.#running.catch(() => {})
  }

  async stop() {
    this.#stopped = true
    await this.#running
  }

  async #run({ command, tenants, pickHost, random, lane }) {
    while (!this.#stopped) {
      for (let waited = 0; waited < EVERY && !this.#stopped; waited += 200) await sleep(200)
      if (this.#stopped && tenants.broken.size === 0) return
      const mended = [...tenants.broken]
      const hosts = new Set([...mended, ...Array.from({ length: AT_ONCE }, pickHost)])
      for (const host of hosts) {
        tenants.changing.add(host)
        command.behind.delete(host)
        if (!this.#stopped && !mended.includes(host) && random() * ONE_IS_BROKEN < 1) tenants.break(host)
        else tenants.change(host)
      }
      await command.reload()
      await sleep(HEARS[lane])
      this.done += hosts.size
      for (const host of hosts) tenants.changing.delete(host)
    }
  }
}
