// Starts the applications of the proxies; resolves with the port of each host.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const CHILD = fileURLToPath(new URL('child.mjs', import.meta.url))
const APPS = { 'bench.example.test': '../../servers/app.mjs', 'other.example.test': '../../servers/other-app.mjs' }

export async function startChildren() {
  return new Map(await Promise.all(Object.entries(APPS).map(async ([host, entry]) => {
    const [port] = await once(fork(CHILD, [new URL(entry, import.meta.url).href]), 'message')
    return [host, port]
  })))
}
