import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestContext } from 'node:test'

export interface Program {
  /** Where it says that it listens. */
  readonly url: string
  /** Sends SIGTERM; resolves with the exit code, or with the signal when that ended it. */
  readonly stop: () => Promise<number | string>
}

/** How long a program may take from spawn to its listening line: a slow, busy machine and no more. */
const START = 20_000
const STOP = 10_000

/** Starts `node …args`, waits for the line with its URL, and kills it when the test ends. */
export async function startProgram(t: TestContext, ...args: string[]): Promise<Program> {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, PORT: '0', NODE_TEST_CONTEXT: '', TENANTRY_PORT: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string)
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { said += text })
  const url = await new Promise<string>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no listening line within ${START} ms; it said:\n${said}`)), START)
    void exited.then((code) => {
      clearTimeout(late)
      reject(new Error(`ended with ${code} before it listened; it said:\n${said}`))
    })
    createInterface({ input: child.stdout }).on('line', (line) => {
      said += `${line}\n`
      const found = /listening/.test(line) ? /https?:\/\/[\w.:[\]-]+:\d+/.exec(line) : null
      if (found === null) return
      clearTimeout(late)
      resolve(found[0])
    })
  })
  return {
    url,
    async stop() {
      child.kill('SIGTERM')
      const over = new AbortController()
      const late = sleep(STOP, 'late' as const, { signal: over.signal, ref: true }).catch(() => 'late' as const)
      const first = await Promise.race([exited, late])
      over.abort()
      if (first === 'late') throw new Error(`still runs ${STOP} ms after SIGTERM; it said:\n${said}`)
      return first
    },
  }
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

export interface Ask { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string }

/** One request to `url`, with the Host that the test wants: fetch() refuses to set it. */
export function ask(url: string, host: string, path = '/', { method = 'GET', headers = {}, body }: Ask = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(new URL(path, url), { method, agent: false, headers: { host, ...headers } }, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8').on('data', (part: string) => { text += part })
      incoming.on('error', reject)
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text }))
    })
    outgoing.on('error', reject)
    outgoing.setTimeout(20_000, () => outgoing.destroy(new Error(`no answer from ${host}${path}`)))
    outgoing.end(body)
  })
}

/** The same, for an answer that must be JSON with status 200. */
export async function askJson(url: string, host: string, path = '/'): Promise<Record<string, unknown>> {
  const { status, text } = await ask(url, host, path)
  if (status !== 200) throw new Error(`${host}${path} answered ${status}: ${text}`)
  return JSON.parse(text) as Record<string, unknown>
}
