import { execFile } from 'node:child_process'
import { request } from 'undici'

/** Runs a program; resolves with its exit code and what it said, or undefined where it is not there. */
function run(file: string, args: readonly string[]): Promise<{ code: number; text: string } | undefined> {
  return new Promise((resolve) => {
    execFile(file, args, { timeout: 15_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code
      resolve(typeof code === 'number' ? { code, text: stdout + stderr } : undefined)
    })
  })
}

const PYTHON = `
import http.client, sys
client = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))
client.request('GET', sys.argv[2], headers={'Host': 'a.test'})
answer = client.getresponse()
try:
    print(answer.status, answer.read())
except Exception as error:
    print(answer.status, type(error).__name__)
`

/** What each client reports of an answer of 'a.test' that breaks off, or undefined where there is no such client; curl: 18 is a partial file, 56 a reset. */
export const CLIENTS: Readonly<Record<string, (port: number, path: string) => Promise<string | undefined>>> = {
  async curl(port, path) {
    const ran = await run('curl', ['-sS', '-H', 'Host: a.test', ...(path.startsWith('/close') ? ['--http1.0'] : []), `http://127.0.0.1:${port}${path}`])
    return ran === undefined ? undefined : ran.code === 18 || ran.code === 56 ? 'broken' : `exit ${ran.code}: ${ran.text}`
  },
  async python(port, path) {
    const ran = await run('python3', ['-c', PYTHON, String(port), path])
    if (ran === undefined || ran.code === 127) return undefined
    return /^200 (IncompleteRead|ConnectionResetError)$/.test(ran.text.trim()) ? 'broken' : ran.text
  },
  async fetch(port, path) {
    // Node's own: it sets no Host, so the address itself is a tenant of its own here.
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return await response.text().then((text) => `complete: ${text}`, () => 'broken')
  },
  async undici(port, path) {
    const { body } = await request(`http://127.0.0.1:${port}${path}`, { headers: { host: 'a.test' } })
    return await body.text().then((text) => `complete: ${text}`, () => 'broken')
  },
}
